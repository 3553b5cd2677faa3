import { z } from 'zod';
import { RISK_LEVELS } from '../../projections/index.ts';
import { AiError, type ModelAnswer } from '../judging/index.ts';

/** UTF-16 units. */
const NARRATIVE_CHARS_MAX = 2_000;

/** What the model is asked to answer. The keywords are those that Gemini's structured output knows; we check the rest. */
export const ANSWER_JSON_SCHEMA = {
  type: 'object',
  properties: {
    narrative: { type: 'string', description: `Two to five sentences, at most ${NARRATIVE_CHARS_MAX} characters` },
    risk_level: { type: 'string', enum: [...RISK_LEVELS] },
  },
  required: ['narrative', 'risk_level'],
  additionalProperties: false,
};

const answerSchema = z.strictObject({
  risk_level: z.enum(RISK_LEVELS),
  narrative: z
    .string()
    // Models write paragraphs: one line is what a column and a log take.
    .transform((text) => text.replaceAll(/[\t\r\n ]+/g, ' ').trim())
    .pipe(z.string().min(1).max(NARRATIVE_CHARS_MAX))
    .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text)),
});

const partSchema = z.object({ text: z.string(), thought: z.boolean().optional() });

/** The part of GenerateContentResponse that is looked at; the SDK passes it on as it came. */
const responseSchema = z.object({
  promptFeedback: z.object({ blockReason: z.string().optional() }).optional(),
  candidates: z
    .array(
      z.object({
        finishReason: z.string().optional(),
        content: z.object({ parts: z.array(partSchema).optional() }).optional(),
      }),
    )
    .optional(),
});

/**
 * Reasons that end an answer for what it says, or for what it was asked, of
 * https://ai.google.dev/api/generate-content#FinishReason. The others are an answer that went wrong.
 */
const REFUSALS = new Set(['SAFETY', 'RECITATION', 'LANGUAGE', 'OTHER', 'BLOCKLIST', 'PROHIBITED_CONTENT', 'SPII']);

/**
 * What is taken of a model's response: all of it comes from outside, and may say what the signal told it to say.
 * @throws AiError refused or invalid-answer, without a word of the response
 */
export function answerOf(response: unknown): ModelAnswer {
  const read = responseSchema.safeParse(response);
  if (!read.success) throw invalidAnswer('is not of the form of this API');
  const { promptFeedback, candidates } = read.data;
  if (promptFeedback?.blockReason !== undefined) throw new AiError('refused', 'the model refused the question');
  const candidate = candidates?.[0];
  if (!candidate) throw invalidAnswer('is empty');
  const { finishReason, content } = candidate;
  if (finishReason !== undefined && REFUSALS.has(finishReason)) {
    throw new AiError('refused', 'the model refused to go on with its answer');
  }
  if (finishReason !== 'STOP') throw invalidAnswer('is not complete');
  const said = (content?.parts ?? []).filter(({ thought }) => thought !== true).map(({ text }) => text);
  return checked(said.join(''));
}

function checked(text: string): ModelAnswer {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    throw invalidAnswer('is no JSON');
  }
  const answer = answerSchema.safeParse(said);
  if (!answer.success) throw invalidAnswer('is not what was asked for');
  return { riskLevel: answer.data.risk_level, narrative: answer.data.narrative };
}

function invalidAnswer(what: string): AiError {
  return new AiError('invalid-answer', `the answer ${what}`);
}
