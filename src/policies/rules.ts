import { assert } from '../../journal/index.ts';
import type { Axiom, RiskLevel } from '../../projections/index.ts';
import type { RuleVerdict } from '../judging/index.ts';
import { readerOf } from './path.ts';

/**
 * Rules: conditions over a signal as JSON, and the verdict of the first that holds. No I/O, nothing to fail: this is
 * the tier that always answers. docs/policies.md tells authors of rules what is told here.
 */

/** As it stands in policy.json. */
export type Condition =
  | { type: 'Always' }
  /**
   * The same JSON value: the same type and content, lists in the same order, members in any. Numbers are doubles. What
   * is absent equals nothing, not even null.
   */
  | { type: 'FieldEquals'; path: string; value: unknown }
  /** Absent, null, "", [] or {}. Not empty: 0, false, a blank, a list or an object that holds anything. */
  | { type: 'FieldEmpty'; path: string }
  /** A number above `than`, or equal to it where `orEqual` says so. A text is no number, whatever it reads. */
  | { type: 'FieldGreater'; path: string; than: number; orEqual?: boolean | undefined }
  | { type: 'All' | 'Any'; of: readonly Condition[] }
  | { type: 'Not'; of: Condition };

export type Predicate = (context: unknown) => boolean;

export type Rule = { id: string; matches: Predicate; riskLevel: RiskLevel; narrative: string };

/** The first rule that matches. A policy set ends with a rule that always does. */
export function judgeByRules({ rules }: { rules: readonly Rule[] }, axiom: Axiom): RuleVerdict {
  const rule = rules.find(({ matches }) => matches(axiom));
  assert(rule, 'the last rule of a policy set always matches');
  return { rule: rule.id, riskLevel: rule.riskLevel, narrative: rule.narrative };
}

/** Paths are taken apart once. What comes back throws for no JSON value. */
export function compileCondition(condition: Condition): Predicate {
  switch (condition.type) {
    case 'Always':
      return () => true;
    case 'FieldEquals': {
      const read = readerOf(condition.path);
      const { value } = condition;
      return (context) => isSameJson(read(context), value);
    }
    case 'FieldEmpty': {
      const read = readerOf(condition.path);
      return (context) => isEmpty(read(context));
    }
    case 'FieldGreater': {
      const read = readerOf(condition.path);
      const { than, orEqual = false } = condition;
      return (context) => {
        const found = read(context);
        return typeof found === 'number' && (found > than || (orEqual && found === than));
      };
    }
    case 'All': {
      const parts = condition.of.map(compileCondition);
      return (context) => parts.every((matches) => matches(context));
    }
    case 'Any': {
      const parts = condition.of.map(compileCondition);
      return (context) => parts.some((matches) => matches(context));
    }
    case 'Not': {
      const matches = compileCondition(condition.of);
      return (context) => !matches(context);
    }
  }
}

/** Goes as deep as `expected` does, however deep what was found is. */
function isSameJson(found: unknown, expected: unknown): boolean {
  if (found === expected) return true;
  if (typeof found !== 'object' || found === null || typeof expected !== 'object' || expected === null) return false;
  if (Array.isArray(found) !== Array.isArray(expected)) return false;
  const names = Object.keys(expected);
  if (Object.keys(found).length !== names.length) return false;
  return names.every(
    (name) =>
      Object.hasOwn(found, name) &&
      isSameJson((found as Record<string, unknown>)[name], (expected as Record<string, unknown>)[name]),
  );
}

function isEmpty(found: unknown): boolean {
  if (found === undefined || found === null || found === '') return true;
  if (typeof found !== 'object') return false;
  for (const name in found) if (Object.hasOwn(found, name)) return false;
  return true;
}
