import { describe, expect, it } from 'vitest';
import { IndelibleError } from '../../journal/index.ts';
import { parsePolicySet } from '../../src/policies/policy-set.ts';
import { judgeByRules } from '../../src/policies/rules.ts';
import { ALWAYS, axiom, PASSAGE, policyText, texts, withCondition } from './support.ts';

const versionOf = (policy: string, passages?: Record<string, string>) =>
  parsePolicySet(texts(policy, passages)).version;

function refusal(policy: string, passages?: Record<string, string>): string {
  try {
    parsePolicySet(texts(policy, passages));
  } catch (error) {
    expect(error).toBeInstanceOf(IndelibleError);
    expect((error as IndelibleError).kind).toBe('invalid');
    const { message } = error as Error;
    expect(message).not.toContain('\n');
    return message;
  }
  return 'accepted';
}

const always = { type: 'Always' };
const nested = (levels: number): unknown => (levels === 0 ? always : { type: 'Not', of: nested(levels - 1) });

describe('a policy set', () => {
  it('is what its files say', () => {
    const set = parsePolicySet(
      texts(policyText(), { 'b.md': PASSAGE, 'a.md': '# Any\n\nDomains: all\n\nOne.\n\nTwo.\n\n' }),
    );
    expect(set).toMatchObject({ name: 'test', threshold: 0.8, similarityMin: 0.9 });
    expect(set.version).toMatch(/^1\.0\.0\+[0-9a-f]{12}$/);
    expect(set.passages).toEqual([
      { id: 'a', title: 'Any', text: 'One.\n\nTwo.', domains: [] },
      { id: 'b', title: 'Pipes', text: 'A leak is closed.', domains: ['water', 'gas'] },
    ]);
  });

  it('answers with the first rule that matches', () => {
    const rule = (id: string, value: string, risk_level: string) => ({
      id,
      when: { type: 'FieldEquals', path: 'payload.region.name', value },
      risk_level,
      narrative: `It is ${id}.`,
    });
    const rules = [rule('a', 'eu', 'high'), rule('b', 'eu', 'low'), rule('c', 'us', 'critical'), ALWAYS];
    const set = parsePolicySet(texts(policyText({ rules })));
    const judged = (name: unknown) => judgeByRules(set, axiom({ payload: { region: { name } } }));
    expect(judged('eu')).toEqual({ rule: 'a', riskLevel: 'high', narrative: 'It is a.' });
    expect(judged('us')).toEqual({ rule: 'c', riskLevel: 'critical', narrative: 'It is c.' });
    expect(judged(['eu'])).toEqual({ rule: 'rest', riskLevel: 'medium', narrative: 'Review it.' });
    expect(judgeByRules(set, axiom()).rule).toBe('rest');
  });
});

describe('the version', () => {
  it('differs where anything that is read differs', () => {
    const versions = [
      versionOf(policyText()),
      versionOf(policyText({ name: 'other' })),
      versionOf(policyText({ version: '1.0.1' })),
      versionOf(policyText({ threshold: 0.81 })),
      versionOf(policyText({ similarity_min: 0.91 })),
      versionOf(policyText({ rules: [{ ...ALWAYS, narrative: 'Review it!' }] })),
      versionOf(policyText({ rules: [{ ...ALWAYS, risk_level: 'low' }] })),
      versionOf(withCondition({ type: 'FieldEquals', path: 'status', value: 'a' })),
      versionOf(withCondition({ type: 'FieldEquals', path: 'status', value: 'b' })),
      versionOf(policyText(), { 'pipes.md': PASSAGE.replace('leak', 'gap') }),
      versionOf(policyText(), { 'pipes.md': PASSAGE.replace('Pipes', 'Tubes') }),
      versionOf(policyText(), { 'pipes.md': PASSAGE.replace('water, gas', 'water') }),
      versionOf(policyText(), { 'tubes.md': PASSAGE }),
      versionOf(policyText(), { 'pipes.md': PASSAGE, 'tubes.md': PASSAGE }),
    ];
    expect(new Set(versions).size).toBe(versions.length);
  });

  it('is the same however the files are laid out', () => {
    const { name, ...rest } = JSON.parse(policyText()) as Record<string, unknown>;
    const laidOut = JSON.stringify({ ...rest, name }, undefined, 4);
    const two = { 'pipes.md': PASSAGE, 'a.md': PASSAGE };
    expect(versionOf(laidOut, { 'a.md': PASSAGE, 'pipes.md': PASSAGE.replaceAll('\n', '\r\n') })).toBe(
      versionOf(policyText(), two),
    );
  });
});

describe('what is refused, in one line that names the file and the place', () => {
  it.each([
    ['{"name":', /^policy\.json: is not JSON: /],
    ['null', /^policy\.json: Invalid input: expected object, received null$/],
    ['[]', /^policy\.json: Invalid input: expected object, received array$/],
    [policyText({ name: undefined }), /^policy\.json: \/name: is missing$/],
    [policyText({ naem: 'x' }), /^policy\.json: \/naem: is not known here: remove it, or correct its spelling$/],
    [policyText({ version: '1.0+2' }), /^policy\.json: \/version: must be letters and digits with dots or hyphens/],
    [policyText({ threshold: '0.8' }), /^policy\.json: \/threshold: Invalid input: expected number, received string$/],
    [policyText({ threshold: 8 }), /^policy\.json: \/threshold: Too big: expected number to be <=1$/],
    [policyText({ similarity_min: 0 }), /^policy\.json: \/similarity_min: Too small: expected number to be >0$/],
    [policyText({ rules: [] }), /^policy\.json: \/rules: Too small/],
    [policyText({ rules: Array(201).fill(ALWAYS) }), /^policy\.json: \/rules: Too big/],
    [policyText({ name: '', threshold: 2 }), /^policy\.json: \/name: .* \(and 1 more\)$/],
    [policyText({ rules: [{ ...ALWAYS, narrative: 'A \ud800.' }] }), /^policy\.json: \/rules\/0\/narrative: holds/],
    [policyText({ rules: [{ ...ALWAYS, narrative: 'A \0.' }] }), /^policy\.json: \/rules\/0\/narrative: holds/],
    ['{"__proto__":{"a":1}}', /^policy\.json: \/__proto__: cannot be the name of a member: remove it$/],
  ])('%.40s', (policy, line) => {
    expect(refusal(policy)).toMatch(line);
  });

  it.each([
    [{ id: 'Rest' }, /^policy\.json: \/rules\/0\/id: must be small letters/],
    [{ id: undefined }, /^policy\.json: \/rules\/0\/id: is missing$/],
    [{ risk_level: 'severe' }, /^policy\.json: \/rules\/0\/risk_level: .*"low"\|"medium"\|"high"\|"critical"$/],
    [{ narrative: ' \n' }, /^policy\.json: \/rules\/0\/narrative: must say why, and what to do$/],
    [{ narrative: 'a'.repeat(2_001) }, /^policy\.json: \/rules\/0\/narrative: Too big/],
    [{ narrative: 'Score {score}.' }, /^policy\.json: \/rules\/0\/narrative: must be plain text without braces/],
    [{ 'a/b~c': 1 }, /^policy\.json: \/rules\/0\/a~1b~0c: is not known here/],
    [{ when: { type: 'FieldEmpty', path: 'status' } }, /^policy\.json: \/rules\/0\/when: must be \{"type":"Always"\}/],
  ])('a rule with %j', (changed, line) => {
    expect(refusal(policyText({ rules: [{ ...ALWAYS, ...changed }] }))).toMatch(line);
  });

  it.each([
    [{ type: 'FieldEqual', path: 'status', value: 1 }, /^policy\.json: \/rules\/0\/when\/type: .*'FieldEquals'/],
    [{ type: 'FieldEquals', path: 'status' }, /^policy\.json: \/rules\/0\/when\/value: is missing$/],
    [{ type: 'FieldEquals', path: 'stauts', value: 1 }, /^policy\.json: \/rules\/0\/when\/path: must name a member/],
    [{ type: 'FieldEmpty', path: 'payload..a' }, /^policy\.json: \/rules\/0\/when\/path: must name a member/],
    [{ type: 'FieldEmpty', path: 'status', value: 1 }, /^policy\.json: \/rules\/0\/when\/value: is not known here/],
    [
      { type: 'FieldGreater', path: 'anomaly_score', than: '1' },
      /^policy\.json: \/rules\/0\/when\/than: Invalid input/,
    ],
    [{ type: 'All', of: [] }, /^policy\.json: \/rules\/0\/when\/of: Too small/],
    [{ type: 'Any', of: always }, /^policy\.json: \/rules\/0\/when\/of: Invalid input: expected array/],
    [{ type: 'Not', of: [always] }, /^policy\.json: \/rules\/0\/when\/of: Invalid input: expected object/],
    [{ type: 'Any', of: [always, { type: 'No' }] }, /^policy\.json: \/rules\/0\/when\/of\/1\/type: /],
    [always, /^policy\.json: \/rules\/0\/when: is Always, so the rules after it are never tried: move it last$/],
  ])('the condition %j', (when, line) => {
    expect(refusal(withCondition(when))).toMatch(line);
  });

  it('two rules of one id', () => {
    expect(refusal(policyText({ rules: [{ ...ALWAYS, when: nested(2) }, ALWAYS] }))).toBe(
      'policy.json: /rules/1/id: "rest" is the id of an earlier rule: give each its own',
    );
  });

  it('conditions that are too deep or too many, up to what a parser takes', () => {
    expect(refusal(withCondition(nested(20)))).toBe('accepted');
    expect(refusal(withCondition(nested(21)))).toMatch(/is nested deeper than 24 levels: split the rule$/);
    const levels = 50_000;
    const deep = `${'{"type":"Not","of":'.repeat(levels)}{"type":"Always"}${'}'.repeat(levels)}`;
    expect(refusal(`{"rules":[{"when":${deep}}]}`)).toMatch(/is nested deeper than 24 levels/);
    const group = (count: number) => ({ type: 'All', of: Array(count).fill(always) });
    expect(refusal(withCondition({ type: 'Not', of: group(98) }))).toBe('accepted');
    expect(refusal(withCondition({ type: 'Not', of: group(99) }))).toMatch(
      /^policy\.json: \/rules\/0\/when: holds more than 100 conditions: split the rule$/,
    );
  });

  it.each([
    ['Pipes.md', PASSAGE, /^passages\/Pipes\.md: must be called after its id/],
    ['pipes.txt', PASSAGE, /^passages\/pipes\.txt: must be called after its id/],
    [`${'p'.repeat(65)}.md`, PASSAGE, /^passages\/p+\.md: must be called after its id/],
    ['pipes.md', '', /^passages\/pipes\.md: must be "# TITLE", "Domains: all" or "Domains: A, B", and text/],
    ['pipes.md', PASSAGE.replace('Domains', 'Domain'), /^passages\/pipes\.md: must be "# TITLE"/],
    ['pipes.md', '# Pipes\n\nDomains: all\n\n \n', /^passages\/pipes\.md: must be "# TITLE"/],
    ['pipes.md', PASSAGE.replace('Pipes', 'P'.repeat(201)), /^passages\/pipes\.md: the title is longer than 200/],
    ['pipes.md', PASSAGE.replace('gas', 'water'), /^passages\/pipes\.md: "Domains:" names one domain twice/],
    ['pipes.md', PASSAGE.replace('gas', ', gas'), /^passages\/pipes\.md: .* none between two commas$/],
    ['pipes.md', PASSAGE.replace('gas', 'all'), /^passages\/pipes\.md: "Domains:" says all and more/],
  ])('the passage %s %j', (name, text, line) => {
    expect(refusal(policyText(), { [name]: text })).toMatch(line);
  });
});
