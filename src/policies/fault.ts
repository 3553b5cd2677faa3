import { type FieldError, IndelibleError } from '../../journal/index.ts';

/** What is wrong with a file of the policies, as one line: `policies/policy.json: /rules/3/id: is missing`. */
export function policyFault(file: string, ...errors: readonly [FieldError, ...FieldError[]]): IndelibleError {
  const [first, ...more] = errors;
  const where = first.pointer === '' ? '' : `${first.pointer}: `;
  const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
  return new IndelibleError('invalid', `${file}: ${where}${first.message}${others}`, { errors });
}

/** RFC 6901. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((token) => `/${String(token).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
