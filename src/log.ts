import { type DestinationStream, type Logger, pino } from 'pino';

/** Fields that would hold a secret or a user's data, wherever a careless caller put them. */
const REDACTED = [
  'key',
  'keyText',
  'authorization',
  'cookie',
  'body',
  'old_value',
  'new_value',
  'metadata',
  'sql',
  'params',
];

/**
 * JSON lines with ISO times on stdout, or on `destination`. Keys, bodies and values are never logged: the edge does
 * not pass them, and the redaction stands behind it.
 */
export function createLogger(options: { level: string; destination?: DestinationStream }): Logger {
  const settings = {
    level: options.level,
    base: { service: 'indelible' },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: REDACTED.flatMap((name) => [name, `*.${name}`]).concat('headers', 'req.headers'),
      censor: '[redacted]',
    },
  };
  return options.destination ? pino(settings, options.destination) : pino(settings);
}
