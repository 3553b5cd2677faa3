import type { FieldError } from './errors.ts';
import type { FieldSpec } from './fields.ts';
import { isRawNumber, textFault, type ValueNotes, valueText } from './json-text.ts';
import { LIMITS } from './limits.ts';
import { canonicalTime } from './time.ts';

/** Characters that are no part of an id: C0, DEL and C1 controls. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

export type Input = Record<string, unknown>;

/**
 * Reads the members of one object of a request after another, checked and in canonical form; what is wrong with them goes
 * into `errors`, each with its JSON pointer.
 */
export class FieldReader {
  readonly errors: FieldError[] = [];
  readonly notes: ValueNotes = { holdsNumber: false };
  readonly #noun: string;
  #pointer = '';

  /** `noun`: what an object is called in messages, with its article. */
  constructor(noun: string) {
    this.#noun = noun;
  }

  /** Whether a value with a number was met: it may have been rounded. */
  get holdsNumber(): boolean {
    return this.notes.holdsNumber;
  }

  /**
   * The object at this pointer, which the calls that follow are about; undefined where it is none, or where enough
   * faults are listed already.
   * @param known the names its members may have; `unknown` says what is wrong with another
   */
  begin(
    value: unknown,
    pointer: string,
    known: Readonly<Record<string, unknown>>,
    unknown: (name: string) => string,
  ): Input | undefined {
    this.#pointer = pointer;
    if (typeof value !== 'object' || value === null || Array.isArray(value) || isRawNumber(value)) {
      this.errors.push({ pointer, message: `is not ${this.#noun}: send a JSON object` });
      return undefined;
    }
    for (const name in value) {
      if (this.isFull) return undefined;
      if (!Object.hasOwn(known, name)) this.fault(name, unknown(name));
    }
    return value as Input;
  }

  get isFull(): boolean {
    return this.errors.length >= LIMITS.errorsListedMax;
  }

  fault(field: string, message: string): null {
    if (!this.isFull) this.errors.push({ pointer: `${this.#pointer}/${pointerToken(field)}`, message });
    return null;
  }

  text(input: Input, name: string, spec: FieldSpec): string | null {
    const value = input[name];
    if (value === undefined || value === null) return spec.required ? this.fault(name, 'is missing') : null;
    if (typeof value !== 'string') return this.fault(name, `must be a string, not ${kindOf(value)}`);
    if (value.length === 0) {
      return this.fault(name, spec.required ? 'is empty' : 'is empty: leave it out instead');
    }
    if (value.length > spec.charsMax) return this.fault(name, `is longer than ${spec.charsMax} characters`);
    const bad = textFault(value);
    if (bad !== undefined) return this.fault(name, bad);
    if (spec.kind === 'id' && CONTROL.test(value)) return this.fault(name, 'holds a control character');
    return value;
  }

  time(input: Input, name: string, spec: FieldSpec): string | null {
    const value = input[name];
    if (value === undefined || value === null) return null;
    if (typeof value !== 'string') return this.fault(name, `must be an RFC 3339 string, not ${kindOf(value)}`);
    if (value.length > spec.charsMax) return this.fault(name, 'is too long for a time');
    const result = canonicalTime(value);
    return result.ok ? result.text : this.fault(name, result.message);
  }

  /** A number; its text, which a double may not hold, is `value()`. */
  number(input: Input, name: string, required: boolean): number | null {
    const value = input[name];
    if (value === undefined || value === null) return required ? this.fault(name, 'is missing') : null;
    if (typeof value !== 'number' && !isRawNumber(value)) {
      return this.fault(name, `must be a number, not ${kindOf(value)}`);
    }
    const number = typeof value === 'number' ? value : Number((value as { rawJSON: string }).rawJSON);
    return Number.isFinite(number) ? number : this.fault(name, 'is beyond the range of a double');
  }

  /** Compact JSON text of any value. */
  value(input: Input, name: string): string | null {
    const value = input[name];
    if (value === undefined) return null;
    const result = valueText(value, this.notes);
    return result.ok ? result.text : this.fault(name, result.message);
  }
}

/** JSON pointer escaping (RFC 6901); long names are cut, since they are echoed back. */
function pointerToken(name: string): string {
  return name.slice(0, 64).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1');
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return isRawNumber(value) ? 'a number' : 'an object';
  return `a ${typeof value}`;
}
