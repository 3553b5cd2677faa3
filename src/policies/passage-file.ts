import type { Passage } from '../judging/index.ts';
import { policyFault } from './fault.ts';
import { ID_PATTERN, POLICY_LIMITS } from './policy-file.ts';

/** A passage of the policy's text, and the domains it is about; none: it is about all. */
export type PolicyPassage = Passage & { domains: readonly string[] };

/** `file` as errors name it; its last part is the passage's id and `.md`. */
export type PassageFile = { file: string; text: string };

const SHAPE = /^# (?<title>\S.*)\n\nDomains: (?<domains>\S.*)\n\n(?<text>\S[\s\S]*)$/;

/**
 * The Markdown of one passage: a heading, a line of domains, the text, with an empty line between.
 *
 * ```
 * # Road traffic sensors
 *
 * Domains: realTraffic
 *
 * Speed, occupancy and travel time …
 * ```
 *
 * @throws IndelibleError invalid
 */
export function readPassage({ file, text }: PassageFile): PolicyPassage {
  const fault = (message: string) => policyFault(file, { pointer: '', message });
  const id = /([^/\\]*)\.md$/.exec(file)?.[1] ?? '';
  if (!ID_PATTERN.test(id) || id.length > POLICY_LIMITS.nameCharsMax) {
    throw fault('must be called after its id: small letters, digits and single hyphens, then .md');
  }
  const shape = SHAPE.exec(text.replaceAll('\r\n', '\n').trimEnd())?.groups;
  if (shape === undefined) {
    throw fault('must be "# TITLE", "Domains: all" or "Domains: A, B", and text, with one empty line between each');
  }
  const title = (shape.title ?? '').trimEnd();
  if (title.length > POLICY_LIMITS.titleCharsMax) {
    throw fault(`the title is longer than ${POLICY_LIMITS.titleCharsMax} characters: shorten it`);
  }
  const domains = (shape.domains ?? '').split(',').map((domain) => domain.trim());
  if (domains.includes('') || new Set(domains).size < domains.length) {
    throw fault('"Domains:" names one domain twice, or none between two commas');
  }
  if (domains.includes('all') && domains.length > 1) throw fault('"Domains:" says all and more: leave one of them');
  return { id, title, text: shape.text ?? '', domains: domains[0] === 'all' ? [] : domains };
}
