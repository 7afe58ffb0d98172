// wharf's agent: what the host asks of the page, and what the page tells the host. The only place that names the library.
//
// The library changes with WhatsApp. So: every read is guarded, every id goes through `text`, and nothing here trusts that a
// function or a module is there.

const HOLD_ENCRYPTED_MS = 15000;
const MOST_HELD = 1000;
// Answers are asked for at most until the host has journaled them, moments later.
const MOST_BEGUN = 10000;
const MOST_OWN_IDS = 10000;
const PAGE_OF_HISTORY = 50;

function attempt(read, otherwise) {
  try {
    const value = read();
    return value === undefined ? otherwise : value;
  } catch {
    return otherwise;
  }
}

// Oldest out: a map that grows for ever would be a leak in a page that lives for weeks.
function bounded(map, most, mayGo = () => true) {
  for (const [key, value] of map) {
    if (map.size <= most) return;
    if (mayGo(value)) map.delete(key);
  }
}

// What went wrong, for people and for the log: the library throws errors with a code, but also texts and plain objects.
function reasonOf(error) {
  if (error && error.code && error.message) return `${error.code}: ${error.message}`;
  if (error && error.message) return String(error.message);
  return typeof error === 'string' ? error : attempt(() => JSON.stringify(error), '') || 'unknown';
}

// ---- who is who, from memory only: asking WhatsApp for each sender would be traffic that nobody wanted

const wid = (id) => WPP.whatsapp.WidFactory.createWid(id);
const numberOf = (id) => (id.endsWith('@lid') ? attempt(() => text(WPP.whatsapp.lidPnCache.getPhoneNumber(wid(id))), null) : null);
const lidOf = (id) => (id.endsWith('@c.us') ? attempt(() => text(WPP.whatsapp.lidPnCache.getCurrentLid(wid(id))), null) : null);

function nameOf(id) {
  const contact = attempt(() => WPP.whatsapp.ContactStore.get(id), null);
  return contact ? plainText(contact.pushname) || plainText(contact.verifiedName) || plainText(contact.name) : null;
}

function me() {
  if (!linked()) return null;
  const id = attempt(() => person(WPP.conn.getMyUserId()), null);
  const lid = attempt(() => person(WPP.conn.getMyUserLid()), null);
  if (!id && !lid) return null;
  const number = id && id.endsWith('@c.us') ? id : null;
  return { id: id || lid, lid, phone: number ? user(number) : null, name: attempt(() => plainText(WPP.whatsapp.Conn.pushname), null) };
}

// ---- state

let qr = null;
let lastState = '';
let lacking = [];
let lackingAt = 0;
let seenModules = false;

const injected = () => attempt(() => WPP.isInjected === true, false);
const linked = () => injected() && attempt(() => WPP.conn.isAuthenticated() === true, false);

// WhatsApp Web is known by its modules; Meta's other pages have the same loader, but none of these.
function recognised() {
  seenModules =
    seenModules || attempt(() => Object.keys(window.require('__debug').modulesMap).some((id) => /^(?:use)?WAWeb/.test(id)), false);
  return seenModules;
}

// What wharf calls, and what those calls need beneath; looked for at most once a minute while something is missing, because each
// look makes the library go through all modules.
const NEEDED = [
  'conn.isAuthenticated', 'conn.getStreamData', 'conn.getMyUserId', 'conn.getAuthCode', 'conn.refreshQR', 'conn.logout',
  'chat.get', 'chat.find', 'chat.list', 'chat.getMessages', 'chat.getMessageById', 'chat.generateMessageID',
  'chat.sendTextMessage', 'contact.queryExists', 'whatsapp.Stream', 'whatsapp.Conn', 'whatsapp.Cmd', 'whatsapp.Socket',
  'whatsapp.ChatStore', 'whatsapp.MsgStore', 'whatsapp.MsgKey', 'whatsapp.MsgModel', 'whatsapp.ChatModel',
  'whatsapp.ContactStore', 'whatsapp.UserPrefs', 'whatsapp.WidFactory', 'whatsapp.lidPnCache',
  'whatsapp.functions.addAndSendMsgToChat', 'whatsapp.functions.findOrCreateLatestChat',
  'whatsapp.functions.getEphemeralFields', 'whatsapp.functions.handleChatSimpleReceipt',
  'whatsapp.functions.handleGroupSimpleReceipt', 'whatsapp.functions.randomMessageId',
];

function missing() {
  if (!attempt(() => WPP.isFullReady === true, false) || !linked()) return [];
  if (lackingAt === 0 || (lacking.length > 0 && Date.now() - lackingAt > 60000)) {
    const has = (path) => attempt(() => path.split('.').reduce((part, name) => part[name], WPP), null);
    lacking = NEEDED.filter((path) => !has(path));
    if (!has('whatsapp.functions.msgFindByDirection') && !has('whatsapp.functions.msgFindQuery')) {
      lacking.push('whatsapp.functions.msgFindByDirection');
    }
    lackingAt = Date.now();
  }
  return lacking;
}

function status() {
  const ready = injected();
  const stream = ready ? attempt(() => WPP.conn.getStreamData(), null) || {} : {};
  return {
    page_id: pageId,
    url: location.href,
    recognised: recognised(),
    injected: ready,
    full_ready: attempt(() => WPP.isFullReady === true, false),
    authenticated: linked(),
    mode: plainText(stream.mode),
    info: plainText(stream.info),
    socket: ready ? attempt(() => plainText(WPP.whatsapp.Socket.state), null) : null,
    needs_update: ready && attempt(() => WPP.whatsapp.Stream.needsUpdate === true, false),
    qr,
    me: me(),
    missing: missing(),
  };
}

function tellState() {
  const now = status();
  const key = JSON.stringify(now);
  if (key === lastState) return;
  lastState = key;
  report({ type: 'state', ...now });
}

// ---- messages

// Id to timer: messages that are still encrypted. The library tells of them twice, and perhaps only once.
const held = new Map();
// Raw id to full id of own messages: receipts in groups come with the reader's id in the place of ours.
const ownIds = new Map();

function tellMessage(model) {
  if (!model || !model.id || NOTICES.has(model.type)) return;
  report({ type: 'message', message: plain(model), is_new: model.isNewMsg === true });
}

function release(id) {
  clearTimeout(held.get(id));
  held.delete(id);
}

function onMessage(model) {
  const id = text(model.id);
  if (model.id.fromMe === true) {
    ownIds.set(String(model.id.id), id);
    bounded(ownIds, MOST_OWN_IDS);
  }
  release(id);
  if (model.type !== ENCRYPTED) {
    tellMessage(model);
    return;
  }
  if (held.size >= MOST_HELD) {
    tellMessage(model);
    return;
  }
  // Told after that as it is, without its text, rather than never.
  const late = () => {
    held.delete(id);
    tellMessage(model);
  };
  held.set(id, setTimeout(late, HOLD_ENCRYPTED_MS));
}

function onAck(change) {
  const ids = Array.from(change.ids || [], (key) => ownIds.get(String(key && key.id)) || text(key)).filter(Boolean);
  if (ids.length === 0 || typeof change.ack !== 'number') return;
  const first = change.ids[0];
  const chat = text(first && first.remote) || text(change.chat);
  report({ type: 'ack', chat, ids, ack: change.ack, sender: person(change.sender) });
}

// ---- subscriptions

// At `main_ready` the library subscribes to the presence of every chat, in the call that follows this one. A look at everybody's
// presence is traffic that nobody asked for, so for the length of that call subscribing does nothing.
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
    logoutReason = typeof reason === 'string' || typeof reason === 'number' ? String(reason) : attempt(() => JSON.stringify(reason), null);
  },
  'conn.logout': () => report({ type: 'logged_out', reason: logoutReason }),
  'conn.main_ready': keepPresenceQuiet,
};

const STATE_CHANGES = [
  'conn.stream_mode_changed', 'conn.stream_info_changed', 'conn.require_auth', 'conn.authenticated', 'conn.main_loaded',
  'conn.main_init', 'conn.main_ready', 'conn.needs_update', 'conn.online', 'conn.logout', 'loader.injected', 'loader.ready',
  'loader.full_ready',
];

function listen() {
  // A mistake here must not stop the library's own listeners, which come after.
  const guarded = (handler) => (...values) => {
    try {
      handler(...values);
    } catch (error) {
      trouble(reasonOf(error));
    }
  };
  for (const [name, handler] of Object.entries(LISTENERS)) WPP.on(name, guarded(handler));
  // The state is read after the library's own listeners have run.
  for (const name of STATE_CHANGES) WPP.on(name, guarded(() => queueMicrotask(guarded(tellState))));
}

// ---- what the host asks

// Id to entry: each message that this document was told to send.
const begun = new Map();

const noChat = (reason) => new Error(`no_chat: ${reason}`);
const isNoChat = (error) =>
  ['chat_not_found', 'invalid_wid'].includes(error && error.code) || /wid error|Chat not found|Failed to find or create chat/.test(reasonOf(error));

async function resolve(to) {
  const number = to.includes('@') ? null : to.replace(/^\+/, '');
  if (number !== null && !/^\d{5,20}$/.test(number)) throw noChat('a number has 5 to 20 digits');
  let wanted = number === null ? to : `${number}@c.us`;
  if (number !== null && !attempt(() => WPP.chat.get(wanted), null)) {
    const found = await WPP.contact.queryExists(wanted);
    if (!found || !found.wid) throw noChat('the number is not on WhatsApp');
    wanted = text(found.wid);
  }
  let chat;
  try {
    chat = await WPP.chat.find(wanted);
  } catch (error) {
    throw isNoChat(error) ? noChat(reasonOf(error)) : error;
  }
  // In the chat that was found: WhatsApp may keep it under another id than was asked for.
  return { chat: text(chat.id), message_id: text(await WPP.chat.generateMessageID(chat)), page_id: pageId };
}

const sent = (ack) => ({ status: 'sent', ack });
const refused = (reason) => ({ status: 'refused', reason });

async function send(id, chat, content) {
  if (content.kind !== 'text') return refused(`this agent cannot send \`${content.kind}\``);
  const options = {
    messageId: id,
    waitForAck: true,
    createChat: true,
    linkPreview: false,
    markIsRead: false,
    detectMentioned: false,
  };
  if (content.quote) options.quotedMsg = content.quote;
  if (content.mentions && content.mentions.length > 0) options.mentionedList = content.mentions;
  try {
    const result = await WPP.chat.sendTextMessage(chat, content.text, options);
    const verdict = result.sendMsgResult && (result.sendMsgResult.messageSendResult || result.sendMsgResult);
    // A refused message resolves as well.
    if (verdict === 'OK' || (!verdict && result.ack > 0)) return sent(Math.max(1, result.ack || 0));
    return refused(text(verdict) || `ack ${result.ack}`);
  } catch (error) {
    // It may have failed after WhatsApp Web took the message in; then WhatsApp Web goes on with it.
    const model = attempt(() => WPP.whatsapp.MsgStore.get(id), null);
    return model && model.ack >= 0 ? sent(model.ack) : refused(reasonOf(error));
  }
}

function order(id, chat, content) {
  const before = begun.get(id);
  if (before) return before.promise;
  const entry = { answer: null, promise: null };
  begun.set(id, entry);
  bounded(begun, MOST_BEGUN, (old) => old.answer !== null);
  entry.promise = send(id, chat, content).then((answer) => (entry.answer = answer));
  return entry.promise;
}

function ask(page, id) {
  if (page !== pageId) return { known: 'other' };
  const entry = begun.get(id);
  if (!entry) return { known: 'never' };
  return entry.answer ? { known: 'answered', answer: entry.answer } : { known: 'running' };
}

async function findMessage(chat, id) {
  for (const chatIsLoaded of [false, true]) {
    try {
      const model = await WPP.chat.getMessageById(id);
      return typeof model.ack === 'number' ? model.ack : 0;
    } catch (error) {
      if (error && error.code === 'msg_not_found') return null;
      if (!isNoChat(error)) throw error;
      if (chatIsLoaded || !(await WPP.chat.find(chat).catch(() => null))) return null;
    }
  }
  return null;
}

async function chats(limit) {
  const models = await WPP.chat.list({ ignoreGroupMetadata: true });
  return Array.from(models, (chat) => ({
    id: text(chat.id),
    timestamp_ms: Math.round(Number(chat.t) * 1000) || 0,
    unread: typeof chat.unreadCount === 'number' ? chat.unreadCount : 0,
  }))
    .sort((one, other) => other.timestamp_ms - one.timestamp_ms)
    .slice(0, limit);
}

async function history(chat, untilMs, limit) {
  const model = attempt(() => WPP.chat.get(chat), null) || (await WPP.chat.find(chat));
  const found = new Map();
  const take = (messages) => {
    for (const message of messages) if (message && message.id) found.set(text(message.id), message);
  };
  const oldest = () => [...found.values()].reduce((one, other) => (one && one.t <= other.t ? one : other), null);
  take(attempt(() => model.msgs.getModelsArray(), []));
  take(await WPP.chat.getMessages(text(model.id), { count: PAGE_OF_HISTORY }));
  for (;;) {
    const first = oldest();
    const before = found.size;
    if (!first || first.t * 1000 <= untilMs || before >= limit + PAGE_OF_HISTORY) break;
    take(await WPP.chat.getMessages(text(model.id), { count: PAGE_OF_HISTORY, direction: 'before', id: text(first.id) }));
    if (found.size === before) break;
  }
  return [...found.values()]
    .filter((message) => message.type !== ENCRYPTED && !NOTICES.has(message.type) && message.t * 1000 > untilMs)
    .sort((one, other) => one.t - other.t)
    .slice(-limit)
    .map(plain);
}

const METHODS = {
  ack: acknowledge,
  drain,
  resolve,
  order,
  ask,
  find_message: findMessage,
  chats,
  history,
  // The library waits here for a code that may never come; the code is an event anyway.
  refresh_qr: () => void WPP.conn.refreshQR().catch((error) => trouble(reasonOf(error))),
  logout: () => WPP.conn.logout().then(() => null),
};

const agent = {
  status: () => JSON.stringify(status()),
  async call(method, values) {
    try {
      const result = await METHODS[method](...values);
      return JSON.stringify({ ok: result === undefined ? null : result });
    } catch (error) {
      return JSON.stringify({ failed: reasonOf(error) });
    }
  },
};

Object.defineProperty(window, 'wharf$agent', { value: Object.freeze(agent) });

if (attempt(() => typeof WPP.on === 'function', false)) listen();
else trouble('the in-page library did not start');
