// Guarded reading, who is who, and how the page stands.
//
// The library changes with WhatsApp. So in all these files: every read is guarded, every id goes through `text`, and
// nothing trusts that a function or a module is there.

const SETTLED_MS = 2000;

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
const known = (id, end, read) => (id.endsWith(end) ? attempt(() => text(read(WPP.whatsapp.lidPnCache, wid(id))), null) : null);
const numberOf = (id) => known(id, '@lid', (cache, lid) => cache.getPhoneNumber(lid));
const lidOf = (id) => known(id, '@c.us', (cache, number) => cache.getCurrentLid(number));

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
  const name = attempt(() => plainText(WPP.whatsapp.Conn.pushname), null);
  return { id: id || lid, lid, phone: number ? user(number) : null, name };
}

// ---- state

let qr = null;
let lastState = '';
let lacking = [];
let lackingAt = 0;
let seenModules = false;
let hooked = false;
let settled = false;

const injected = () => attempt(() => WPP.isInjected === true, false);
const linked = () => injected() && attempt(() => WPP.conn.isAuthenticated() === true, false);

// WhatsApp Web is known by its modules; Meta's other pages have the same loader, but none of these.
function recognised() {
  const modules = () => Object.keys(window.require('__debug').modulesMap);
  seenModules = seenModules || attempt(() => modules().some((id) => /^(?:use)?WAWeb/.test(id)), false);
  return seenModules;
}

// The library puts its last hooks (receipts, edits, ...) in place by timers that it starts after it has said
// `full_ready`. A timer of a timer comes after those. Its chat patches come a second later still.
function onFullReady() {
  setTimeout(() => setTimeout(() => {
    hooked = true;
    tellState();
  }, 0), 0);
  setTimeout(() => {
    settled = true;
    tellState();
  }, SETTLED_MS);
}

// What wharf calls, and what those calls need beneath. Not looked for before the library is done: it remembers by what
// name a function was read first, and hooks it under that one. While something is missing, at most once a minute,
// because each look makes the library go through all modules.
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
  if (!settled || !linked()) return [];
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
    full_ready: hooked,
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
