import type { z } from '@hono/zod-openapi';
import { invalid } from '../../journal/index.ts';
import { readDecoded, utf8Text } from './body.ts';
import { type Asked, parseBody } from './route.ts';

type Request = Pick<Asked<unknown>, 'c'>;

const BODY_BYTES_MAX = 16 * 1024;

/** A small body of JSON. @throws IndelibleError invalid, too-large */
export async function jsonBody<S extends z.ZodType>(request: Request, schema: S): Promise<z.infer<S>> {
  return parseBody(schema, await readJson(request, BODY_BYTES_MAX));
}

/** A body of JSON, not checked any further. @throws IndelibleError invalid, too-large */
export async function readJson({ c }: Request, bytesMax: number): Promise<unknown> {
  const text = utf8Text(await readDecoded(c.env.incoming as Parameters<typeof readDecoded>[0], bytesMax));
  try {
    return JSON.parse(text);
  } catch {
    throw invalid([{ pointer: '', message: 'is not JSON' }]);
  }
}
