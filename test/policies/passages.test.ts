import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { AiError, type Embedder } from '../../src/judging/index.ts';
import type { PolicyPassage } from '../../src/policies/passage-file.ts';
import { byDomain, PassageIndex } from '../../src/policies/passages.ts';
import { policiesOf } from '../../src/policies/policies.ts';
import { parsePolicySet } from '../../src/policies/policy-set.ts';
import { axiom, policyText, texts } from './support.ts';

const passage = (id: string, domains: string[] = []): PolicyPassage => ({
  id,
  title: id,
  text: `About ${id}.`,
  domains,
});
const PASSAGES = [passage('east', ['water']), passage('north'), passage('west', ['water', 'gas'])];
/** Unit vectors by the first word of a text, which is the passage's title. */
const COMPASS: Record<string, [number, number]> = {
  east: [1, 0],
  north: [0, 1],
  west: [-1, 0],
  abyss: [0, -1],
  zenith: [0.8, 0.6],
};
/** 64 and 2. */
const TWO_BATCHES = [...Array.from({ length: 65 }, (_, index) => passage(`p${index}`)), passage('east')];
const NORTH_EAST = new Float32Array([0.8, 0.6]);
const vectorOf = (text: string) => new Float32Array(COMPASS[text.split('\n')[0] ?? ''] ?? [0, 1]);

type Call = { texts: readonly string[]; signal: AbortSignal; answer: () => void; fail: (error: Error) => void };

/** Answers when the test says so; stops when it is told to, unless it does not listen. */
class ScriptedEmbedder implements Embedder {
  readonly model = 'scripted';
  readonly dimensions = 2;
  readonly isLocal = false;
  readonly calls: Call[] = [];
  listens = true;

  embed(texts: readonly string[], signal: AbortSignal): Promise<Float32Array[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Float32Array[]>();
    this.calls.push({ texts, signal, answer: () => resolve(texts.map(vectorOf)), fail: reject });
    if (this.listens) signal.addEventListener('abort', () => reject(new AiError('timeout', 'stopped')));
    return promise;
  }

  call(index: number): Call {
    const call = this.calls[index];
    if (!call) throw new Error(`the embedder was asked ${this.calls.length} times`);
    return call;
  }
}

const never = new AbortController().signal;
const ids = (passages: readonly { id: string }[]) => passages.map(({ id }) => id);

function scene(passages: readonly PolicyPassage[] = PASSAGES) {
  const embedder = new ScriptedEmbedder();
  const index = new PassageIndex(passages, embedder);
  const ask = async (count = 3, signal = never) =>
    ids(await index.relevant(axiom({ domain: 'water' }), NORTH_EAST, count, signal));
  return { embedder, ask };
}

describe('the index of passages', () => {
  it('gives those of the domain, then those about all, the nearest by cosine first, and equals by id', async () => {
    const more = [passage('abyss', ['water']), passage('norther'), passage('zenith'), passage('east', ['gas'])];
    const { embedder, ask } = scene([...PASSAGES, ...more]);
    const asked = ask(9);
    embedder.call(0).answer();
    expect(await asked).toEqual(['east', 'abyss', 'west', 'zenith', 'north', 'norther']);
    expect(await ask(1)).toEqual(['east']);
    expect(await ask(0)).toEqual([]);
  });

  it('embeds once: title, domains and text, for all who ask, then and later', async () => {
    const { embedder, ask } = scene();
    const asked = [ask(), ask(), ask()];
    embedder.call(0).answer();
    for (const found of await Promise.all(asked)) expect(found).toEqual(['east', 'west', 'north']);
    await ask();
    expect(embedder.calls).toHaveLength(1);
    expect(embedder.call(0).texts[0]).toBe('east\ndomain: water\nAbout east.');
    expect(embedder.call(0).texts[1]).toBe('north\nAbout north.');
  });

  it('keeps no failure: who waited hears of it, the next one asks again, and goes on where it stopped', async () => {
    const { embedder, ask } = scene(TWO_BATCHES);
    const asked = [ask(), ask()];
    embedder.call(0).answer();
    await expect.poll(() => embedder.calls.length).toBe(2);
    embedder.call(1).fail(new AiError('rate-limited', 'later'));
    for (const one of await Promise.allSettled(asked)) {
      expect(one).toMatchObject({ status: 'rejected', reason: { failure: 'rate-limited' } });
    }
    const again = ask(1);
    expect(embedder.calls.map((call) => call.texts.length)).toEqual([64, 2, 2]);
    embedder.call(2).answer();
    expect(await again).toEqual(['east']);
  });

  it('lets one leave without the others, and stops when the last one left', async () => {
    const { embedder, ask } = scene();
    const [first, second] = [new AbortController(), new AbortController()];
    const asked = [ask(3, first.signal), ask(3, second.signal)];
    first.abort(new Error('first left'));
    await expect(asked[0]).rejects.toThrow('first left');
    expect(embedder.call(0).signal.aborted).toBe(false);
    second.abort(new Error('second left'));
    await expect(asked[1]).rejects.toThrow('second left');
    expect(embedder.call(0).signal.aborted).toBe(true);
  });

  it('does not join what is being stopped, and takes nothing from it', async () => {
    const { embedder, ask } = scene(TWO_BATCHES);
    embedder.listens = false;
    const first = new AbortController();
    const left = ask(1, first.signal);
    first.abort(new Error('left'));
    await expect(left).rejects.toThrow('left');
    const asked = ask(1);
    embedder.call(1).answer();
    await expect.poll(() => embedder.calls.length).toBe(3);
    embedder.call(2).answer();
    expect(await asked).toEqual(['east']);
    embedder.call(0).answer();
    await setImmediate();
    expect(await ask(1)).toEqual(['east']);
    expect(embedder.calls).toHaveLength(3);
  });

  it('asks nobody for one who has left already', async () => {
    const { embedder, ask } = scene();
    await expect(ask(3, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(embedder.calls).toHaveLength(0);
  });

  it('refuses a vector of another embedder', async () => {
    const index = new PassageIndex(PASSAGES, new ScriptedEmbedder());
    await expect(index.relevant(axiom(), new Float32Array(3), 1, never)).rejects.toThrow('dimensions of its embedder');
  });
});

describe('passages without a vector', () => {
  it('are those of the domain, then those about all, and never those about others', () => {
    const found = (domain: string, count = 9) =>
      ids(byDomain([...PASSAGES, passage('z', ['water'])], axiom({ domain }), count));
    expect(found('water')).toEqual(['east', 'west', 'z', 'north']);
    expect(found('water', 1)).toEqual(['east']);
    expect(found('gas')).toEqual(['west', 'north']);
    expect(found('elsewhere')).toEqual(['north']);
  });
});

describe('policies as the judge asks for them', () => {
  it('say what the set says, and find passages with and without a vector', async () => {
    const markdown = (title: string, domains: string) => `# ${title}\n\nDomains: ${domains}\n\nText.\n`;
    const set = parsePolicySet(
      texts(policyText({ threshold: 0.7, similarity_min: 0.95 }), {
        'a.md': markdown('west', 'gas'),
        'b.md': markdown('north', 'all'),
        'c.md': markdown('east', 'water'),
        'd.md': markdown('zenith', 'all'),
      }),
    );
    const embedder = new ScriptedEmbedder();
    const policies = policiesOf(set, embedder);
    expect(policies).toMatchObject({ version: set.version, threshold: 0.7, similarityMin: 0.95 });
    expect(policies.rule(axiom())).toEqual({ rule: 'rest', riskLevel: 'medium', narrative: 'Review it.' });
    expect(ids(await policies.passages(axiom({ domain: 'gas' }), undefined, never))).toEqual(['a', 'b', 'd']);
    expect(embedder.calls).toHaveLength(0);
    const asked = policies.passages(axiom({ domain: 'gas' }), NORTH_EAST, never);
    embedder.call(0).answer();
    expect(ids(await asked)).toEqual(['a', 'd', 'b']);
  });
});
