import type { z } from '@hono/zod-openapi';
import { invalid } from '../../journal/index.ts';
import { readDecoded, utf8Text } from './body.ts';
import { type Asked, parseBody } from './route.ts';

const BODY_BYTES_MAX = 16 * 1024;

/** A small body of JSON. @throws IndelibleError invalid, too-large */
export async function jsonBody<S extends z.ZodType>({ c }: Pick<Asked<unknown>, 'c'>, schema: S): Promise<z.infer<S>> {
  const text = utf8Text(await readDecoded(c.env.incoming as Parameters<typeof readDecoded>[0], BODY_BYTES_MAX));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid([{ pointer: '', message: 'is not JSON' }]);
  }
  return parseBody(schema, value);
}
