// Messages that are still encrypted: held back until they can be read, for a while.
//
// WhatsApp Web keeps such a message as a `ciphertext` and gives it its content when the sender's phone has sent the keys
// again. The library tells of that only where the message came new in this document, so the store is listened to as
// well, and each is told with its content once.

const HOLD_ENCRYPTED_MS = 15000;
const MOST_HELD = 1000;
const MOST_SEALED = 10000;

// Id to timer.
const held = new Map();
// Id to whether its content was told: what this document has seen encrypted.
const sealed = new Map();

function hold(model) {
  const id = text(model.id);
  if (sealed.has(id)) return;
  sealed.set(id, false);
  bounded(sealed, MOST_SEALED);
  if (held.size >= MOST_HELD) {
    tellMessage(model);
    return;
  }
  // Told after that as it is, without its text, rather than never.
  const late = () => {
    held.delete(id);
    const now = attempt(() => WPP.whatsapp.MsgStore.get(id), null) || model;
    if (now.type === ENCRYPTED) tellMessage(now);
    else unseal(now);
  };
  held.set(id, setTimeout(guarded(late, true), HOLD_ENCRYPTED_MS));
}

function unseal(model) {
  const id = text(model.id);
  if (sealed.get(id) === true) return;
  sealed.set(id, true);
  clearTimeout(held.get(id));
  held.delete(id);
  tellMessage(model);
}

// Other messages change their type as well: one that is revoked does.
function onTypeChange(model, _type, previous) {
  if (!model || model.type === ENCRYPTED) return;
  const wasEncrypted = previous === ENCRYPTED || sealed.has(text(model.id));
  // The other fields may be set after the type.
  if (wasEncrypted) queueMicrotask(guarded(() => unseal(model), true));
}

let watched = false;

// Not before the library is done: it remembers by what name a module was read first.
function watchStore() {
  if (watched) return;
  watched = true;
  WPP.whatsapp.MsgStore.on('change:type', guarded(onTypeChange, true));
}
