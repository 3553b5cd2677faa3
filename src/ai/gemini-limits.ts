/** Texts that one request of Gemini's batchEmbedContents takes. */
export const EMBED_TEXTS_MAX = 100;
