// What the page tells the host: messages, receipts, codes, changes of state.

const MOST_OWN_IDS = 10000;

// A mistake in here must not stop the library's own listeners, which come after. Where something may have been missed
// for it, a gap is reported, so that the session looks.
const guarded = (handler, mayMiss = false) => (...values) => {
  try {
    handler(...values);
  } catch (error) {
    trouble(reasonOf(error));
    if (mayMiss) report({ type: 'gap', dropped: 1 });
  }
};

// ---- messages

// Raw id to full id of own messages: receipts in groups come with the reader's id in the place of ours.
const ownIds = new Map();

function tellMessage(model) {
  if (!model || !model.id || NOTICES.has(model.type) || chatOf(model) === STATUS_POSTS) return;
  const message = plain(model);
  report({ type: 'message', message, canonical: canonicalOf(message.chat), is_new: model.isNewMsg === true });
}

function onMessage(model) {
  const id = text(model.id);
  if (model.id.fromMe === true) {
    ownIds.set(String(model.id.id), id);
    bounded(ownIds, MOST_OWN_IDS);
  }
  if (model.type === ENCRYPTED) hold(model);
  else if (sealed.has(id)) unseal(model);
  else tellMessage(model);
}

function onAck(change) {
  const ids = Array.from(change.ids || [], (key) => ownIds.get(String(key && key.id)) || text(key)).filter(Boolean);
  if (ids.length === 0 || typeof change.ack !== 'number') return;
  const first = change.ids[0];
  const chat = text(first && first.remote) || text(change.chat);
  report({ type: 'ack', chat, ids, ack: change.ack, sender: person(change.sender) });
}

// ---- subscriptions

// At `main_ready` the library subscribes to the presence of every chat, in the call that follows this one. A look at
// everybody's presence is traffic that nobody asked for, so for the length of that call subscribing does nothing.
function keepPresenceQuiet() {
  const changed = [];
  for (const chat of attempt(() => WPP.whatsapp.ChatStore.getModelsArray(), [])) {
    let owner = attempt(() => chat.presence, null);
    while (owner && !Object.prototype.hasOwnProperty.call(owner, 'subscribe')) owner = Object.getPrototypeOf(owner);
    if (!owner || changed.some(([other]) => other === owner)) continue;
    changed.push([owner, owner.subscribe]);
    owner.subscribe = () => Promise.resolve();
  }
  setTimeout(() => changed.forEach(([owner, subscribe]) => (owner.subscribe = subscribe)), 0);
}

let logoutReason = null;

const LISTENERS = {
  'chat.new_message': onMessage,
  'chat.msg_ack_change': onAck,
  'conn.auth_code_change': (code) => {
    const next = (code && plainText(code.fullCode)) || null;
    if (next === qr) return;
    qr = next;
    report({ type: 'qr', code: qr });
  },
  'conn.qrcode_idle': () => report({ type: 'qr_idle' }),
  'conn.authenticated': () => report({ type: 'authenticated' }),
  'conn.logout_reason': (reason) => {
    const plainly = typeof reason === 'string' || typeof reason === 'number';
    logoutReason = plainly ? String(reason) : attempt(() => JSON.stringify(reason), null);
  },
  'conn.logout': () => report({ type: 'logged_out', reason: logoutReason }),
  'conn.main_ready': keepPresenceQuiet,
  'loader.full_ready': () => {
    onFullReady();
    watchStore();
  },
};

// Who misses one of these must look for what it was; the others only say how the page stands, which is asked for anyway.
const MUST_NOT_MISS = new Set(['chat.new_message', 'chat.msg_ack_change']);

const STATE_CHANGES = [
  'conn.stream_mode_changed', 'conn.stream_info_changed', 'conn.require_auth', 'conn.authenticated', 'conn.main_loaded',
  'conn.main_init', 'conn.main_ready', 'conn.needs_update', 'conn.online', 'conn.logout', 'loader.injected',
  'loader.ready',
];

function listen() {
  for (const [name, handler] of Object.entries(LISTENERS)) WPP.on(name, guarded(handler, MUST_NOT_MISS.has(name)));
  // The state is read after the library's own listeners have run.
  for (const name of STATE_CHANGES) WPP.on(name, guarded(() => queueMicrotask(guarded(tellState))));
}
