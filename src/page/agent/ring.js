// The ring of events: numbered here, kept until the host has acknowledged them.
//
// At most IN_FLIGHT events are with the host at a time; the others wait here. When the ring is full the oldest that
// waits is dropped, and a `gap` with the number of what was dropped goes out in its place.

const BINDING = 'wharf$report';
const RING_EVENTS = 10000;
const RING_CHARACTERS = 8 * 1024 * 1024;
// Told one by one; of what comes after, only each that doubles the number.
const TROUBLES = 32;
// Half of what the host's own queue takes, so that reporting all of it once more still fits.
const IN_FLIGHT = 512;

const hex = (byte) => byte.toString(16).padStart(2, '0');
const pageId = Array.from(crypto.getRandomValues(new Uint8Array(16)), hex).join('');

let lastSeq = 0;
let ringSize = 0;
let gap = null;
// Number to `{text, lost}`, in the order of the numbers: what the host has got, and what it has not. `lost` is how many
// events are lost with it: a gap stands for several.
const flying = new Map();
const waiting = new Map();

const packed = (seq, event) => JSON.stringify({ page_id: pageId, page_seq: seq, event });

function keep(map, seq, event) {
  const entry = { text: packed(seq, event), lost: event.type === 'gap' ? event.dropped : 1 };
  ringSize += entry.text.length;
  map.set(seq, entry);
  return entry;
}

function report(event) {
  lastSeq += 1;
  keep(waiting, lastSeq, event);
  while (waiting.size > 1 && (waiting.size + flying.size > RING_EVENTS || ringSize > RING_CHARACTERS)) dropOldest();
  pump();
}

let troubles = 0;

// What went wrong in here, for the host's log: not an event, so it has no number and nobody acknowledges it. Nothing
// holds it back but this: what goes wrong may do so at each message.
function trouble(reason) {
  troubles += 1;
  if (troubles > TROUBLES && (troubles & (troubles - 1)) !== 0) return;
  const send = window[BINDING];
  const told = `${String(reason).slice(0, 300)} (the ${troubles}. trouble of this document)`;
  if (typeof send === 'function') send(packed(0, { type: 'trouble', reason: told }));
}

function dropOldest() {
  const [seq, { text, lost }] = waiting.entries().next().value;
  waiting.delete(seq);
  ringSize -= text.length;
  gap = { seq, dropped: (gap ? gap.dropped : 0) + lost };
}

function pump() {
  const send = window[BINDING];
  // Without a host there is nobody to tell; `drain` comes when there is one.
  if (typeof send !== 'function') return;
  while (flying.size < IN_FLIGHT && (gap || waiting.size > 0)) {
    if (gap) {
      const entry = keep(flying, gap.seq, { type: 'gap', dropped: gap.dropped });
      gap = null;
      send(entry.text);
    } else {
      const [seq, entry] = waiting.entries().next().value;
      waiting.delete(seq);
      flying.set(seq, entry);
      send(entry.text);
    }
  }
}

function forget(kept, upTo) {
  for (const [seq, { text }] of kept) {
    if (seq > upTo) break;
    kept.delete(seq);
    ringSize -= text.length;
  }
}

function acknowledge(page, seq) {
  if (page !== pageId) return;
  forget(flying, seq);
  forget(waiting, seq);
  if (gap && gap.seq <= seq) gap = null;
  pump();
}

// All that is not acknowledged goes out again, from the oldest.
function drain() {
  const rest = [...waiting];
  const hole = gap;
  waiting.clear();
  gap = null;
  for (const [seq, entry] of flying) waiting.set(seq, entry);
  flying.clear();
  if (hole) keep(waiting, hole.seq, { type: 'gap', dropped: hole.dropped });
  for (const [seq, entry] of rest) waiting.set(seq, entry);
  pump();
}
