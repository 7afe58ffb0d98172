// What the host asks of the page, and the start of wharf's agent. This folder is the only place that names the
// library's parts.

// Answers are asked for at most until the host has journaled them, moments later.
const MOST_BEGUN = 10000;
const PAGE_OF_HISTORY = 50;

// Id to entry: each message that this document was told to send.
const begun = new Map();

const noChat = (reason) => new Error(`no_chat: ${reason}`);
const isNoChat = (error) =>
  ['chat_not_found', 'invalid_wid'].includes(error && error.code) ||
  /wid error|Chat not found|Failed to find or create chat/.test(reasonOf(error));

// The chat with an id or a number, made if it is not there.
async function findChat(to) {
  if (!to.includes('@') && !/^\+?\d{5,20}$/.test(to)) throw noChat('a number has 5 to 20 digits');
  let wanted = to.includes('@') ? to : `${to.replace('+', '')}@c.us`;
  const loaded = attempt(() => WPP.chat.get(wanted), null);
  if (loaded) return loaded;
  // A chat would be made for any number; only WhatsApp knows whether somebody has it.
  if (wanted.endsWith('@c.us')) {
    const found = await WPP.contact.queryExists(wanted);
    if (!found || !found.wid) throw noChat('the number is not on WhatsApp');
    wanted = text(found.wid);
  }
  try {
    return await WPP.chat.find(wanted);
  } catch (error) {
    throw isNoChat(error) ? noChat(reasonOf(error)) : error;
  }
}

async function resolve(to) {
  const chat = await findChat(to);
  // In the chat that was found: WhatsApp may keep it under another id than was asked for.
  return { chat: text(chat.id), message_id: text(await WPP.chat.generateMessageID(chat)), page_id: pageId };
}

const sent = (ack) => ({ status: 'sent', ack });
const refused = (reason) => ({ status: 'refused', reason });

async function send(id, chat, content) {
  if (content.kind !== 'text' && content.kind !== 'file') return refused(`this agent cannot send \`${content.kind}\``);
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
    const result =
      content.kind === 'file' ? await sendFile(id, chat, content, options) : await WPP.chat.sendTextMessage(chat, content.text, options);
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
  // An id that was made in another document may have been ordered in this one.
  const entry = begun.get(id);
  if (!entry) return { known: page === pageId ? 'never' : 'other' };
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
  const models = Array.from(await WPP.chat.list({ ignoreGroupMetadata: true }));
  const summary = (chat) => ({
    id: text(chat.id),
    canonical: canonicalOf(text(chat.id)),
    timestamp_ms: Math.round(Number(chat.t) * 1000) || 0,
    unread: typeof chat.unreadCount === 'number' ? chat.unreadCount : 0,
  });
  return models
    .map(summary)
    .filter((chat) => chat.id !== STATUS_POSTS)
    .sort((one, other) => other.timestamp_ms - one.timestamp_ms)
    .slice(0, limit);
}

const typeOf = (message) => attempt(() => message.type, null);
const isEncrypted = (message) => typeOf(message) === ENCRYPTED;

// Messages of a chat that are newer than `untilMs`, and before the one with the id `beforeId` if there is one, oldest first: the
// newest `limit` or a few more.
async function collect(chat, untilMs, limit, beforeId) {
  const model = attempt(() => WPP.chat.get(chat), null) || (await WPP.chat.find(chat));
  let found = new Map();
  // Earlier ones go to the front: times are in seconds, so within a second only this keeps their order.
  const take = (messages) => {
    const page = messages.filter((message) => message && message.id).map((message) => [text(message.id), message]);
    found = new Map([...page.filter(([id]) => !found.has(id) && id !== beforeId), ...found]);
  };
  const oldest = () => [...found.values()].reduce((one, other) => (one && one.t <= other.t ? one : other), null);
  const earlier = (id) => ({ count: PAGE_OF_HISTORY, direction: 'before', id });
  if (beforeId) {
    take(await WPP.chat.getMessages(text(model.id), earlier(beforeId)));
  } else {
    take(attempt(() => model.msgs.getModelsArray(), []));
    take(await WPP.chat.getMessages(text(model.id), { count: PAGE_OF_HISTORY }));
  }
  for (;;) {
    const first = oldest();
    const before = found.size;
    if (!first || first.t * 1000 <= untilMs || before >= limit + PAGE_OF_HISTORY) break;
    take(await WPP.chat.getMessages(text(model.id), earlier(text(first.id))));
    if (found.size === before) break;
  }
  return [...found.values()]
    .filter((message) => !NOTICES.has(typeOf(message)) && message.t * 1000 > untilMs)
    .sort((one, other) => one.t - other.t);
}

// For a sweep.
async function history(chat, untilMs, limit) {
  const wanted = await collect(chat, untilMs, limit, null);
  // They come as events: with their text if they can be read soon.
  wanted.filter(isEncrypted).forEach(hold);
  return wanted
    .filter((message) => !isEncrypted(message))
    .slice(-limit)
    .flatMap(readable);
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
  put,
  fetch: fetchFile,
  take: takeFile,
  act: (act) => ACTS[act.kind](act).then(() => null),
  look: (look) => LOOKS[look.kind](look),
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
