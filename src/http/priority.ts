/** How much a request matters where not all can be taken: what is low waits first. */
export type Priority = 'normal' | 'low';

/** From this urgency on (RFC 9218: 0 matters most, 7 least, 3 where nothing is said) a request is low. */
const LOW_URGENCY = 5;
const URGENCY_MAX = 7;

/** No honest header is longer; what is, is passed over. */
const HEADER_CHARS_MAX = 1024;

/** The grammar of a dictionary of structured fields (RFC 9651, section 3.2), in which RFC 9218 writes priorities. */
const KEY = '[a-z*][a-z0-9_.*-]*';
const INTEGER = '-?\\d{1,15}(?![\\d.])';
const DECIMAL = '-?\\d{1,12}\\.\\d{1,3}(?!\\d)';
const STRING = '"(?:[ !#-[\\]-~]|\\\\["\\\\])*"';
const TOKEN = "[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*";
const BYTES = ':[A-Za-z0-9+/=]*:';
const DISPLAY_STRING = '%"(?:[ !#$&-~]|%[0-9a-f]{2})*"';
const VALUE = `(?:${[INTEGER, DECIMAL, STRING, TOKEN, BYTES, '\\?[01]', '@-?\\d{1,15}', DISPLAY_STRING].join('|')})`;
const PARAMETERS = `(?:; *${KEY}(?:=${VALUE})?)*`;
const INNER_LIST = `\\( *(?:${VALUE}${PARAMETERS}(?: +${VALUE}${PARAMETERS})* *)?\\)`;
const MEMBER = new RegExp(`(${KEY})(?:=(${VALUE}|${INNER_LIST}))?${PARAMETERS}`, 'y');
const SEPARATOR = /[ \t]*,[ \t]*/y;
const WHOLE = /^-?\d+$/;

/**
 * The priority of a request by its Priority header (RFC 9218), `otherwise` where that says nothing of the urgency. As the
 * RFC has it, a header that is no dictionary, and an urgency that is none, are passed over.
 */
export function priorityOf(header: string | undefined, otherwise: Priority): Priority {
  const urgency = header === undefined ? undefined : urgencyOf(header);
  if (urgency === undefined) return otherwise;
  return urgency >= LOW_URGENCY ? 'low' : 'normal';
}

function urgencyOf(header: string): number | undefined {
  if (header.length > HEADER_CHARS_MAX) return undefined;
  const text = header.replace(/^ +/, '').replace(/ +$/, '');
  let value: string | undefined;
  for (let at = 0; ; ) {
    MEMBER.lastIndex = at;
    const member = MEMBER.exec(text);
    if (member === null) return undefined;
    // Where a key comes twice, the last one counts. A key alone is the Boolean true.
    if (member[1] === 'u') value = member[2] ?? '?1';
    if (MEMBER.lastIndex === text.length) break;
    SEPARATOR.lastIndex = MEMBER.lastIndex;
    if (!SEPARATOR.test(text)) return undefined;
    at = SEPARATOR.lastIndex;
  }
  const urgency = value !== undefined && WHOLE.test(value) ? Number(value) : Number.NaN;
  return urgency >= 0 && urgency <= URGENCY_MAX ? urgency : undefined;
}
