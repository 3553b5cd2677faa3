import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EVENT_COLUMNS } from '../../journal/index.ts';
import { eventJson } from '../../queries/index.ts';
import { eventSpec, journalOf, plainSpec } from '../support/events.ts';

const JSON_COLUMNS = ['old_value', 'new_value', 'metadata'];

describe('eventJson', () => {
  it('is JSON with the columns in their order, absent ones left out', () => {
    fc.assert(
      fc.property(eventSpec, fc.option(fc.constant('ab'.repeat(32)), { nil: undefined }), (spec, prevHash) => {
        const [event] = journalOf([spec]);
        if (event === undefined) throw new Error('one spec is one event');
        const present = EVENT_COLUMNS.filter((column) => event[column] !== null);
        const expected = present.map((column) => {
          const value = event[column];
          return [column, JSON_COLUMNS.includes(column) ? JSON.parse(value as string) : value];
        });
        if (prevHash !== undefined) expected.push(['prev_hash', prevHash]);
        expect(Object.entries(JSON.parse(eventJson(event, prevHash)))).toEqual(expected);
      }),
    );
  });

  it('passes values on to the letter', () => {
    const [event] = journalOf([
      plainSpec({ old_value: 'null', new_value: '12345678901234567890', metadata: '{"a":1e-400,"b":-0}' }),
    ]);
    if (event === undefined) throw new Error('one spec is one event');
    expect(eventJson(event)).toBe(
      `{"seq":0,"event_id":"event-0","occurred_at":"2026-01-02T03:04:05.000000Z","recorded_at":"2026-11-21T00:00:00.000000Z","workspace_id":"acme","entity_type":"file","entity_id":"a","field":"*","action":"update","old_value":null,"new_value":12345678901234567890,"actor":"ann","metadata":{"a":1e-400,"b":-0},"event_hash":"${event.event_hash}"}`,
    );
  });
});
