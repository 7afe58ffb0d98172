// WhatsApp's models made into plain values. Ids only as text: models must never leave the page.

// Text that people wrote; for media WhatsApp keeps a base64 thumbnail in `body`.
const WRITTEN = new Set(['chat', 'buttons_response', 'list_response', 'template_button_reply', 'interactive_response']);
const MEDIA = new Set(['image', 'video', 'audio', 'ptt', 'document', 'sticker', 'ptv']);
// What WhatsApp keeps among the messages without anybody having written it.
const NOTICES = new Set([
  'broadcast_notification', 'call_log', 'debug', 'e2e_notification', 'gp2', 'keep_in_chat', 'newsletter_notification',
  'notification', 'notification_template', 'pinned_message', 'protocol', 'reaction', 'reaction_enc',
]);

const ENCRYPTED = 'ciphertext';
// What people post to all their contacts comes as messages of this chat; nobody is written to.
const STATUS_POSTS = 'status@broadcast';

// A Wid, a MsgKey or text, as text; null for nothing.
const text = (id) => (id === null || id === undefined || id === '' ? null : String(id));
// `49…:12@c.us` names a device; people are meant.
const person = (id) => (text(id) === null ? null : text(id).replace(/:\d+@/, '@'));
const plainText = (value) => (typeof value === 'string' ? value : null);
const user = (id) => id.slice(0, id.indexOf('@'));

// The address to answer to.
const chatOf = (model) => text(model.id.remote);
// Names the conversation, whichever of its two ids WhatsApp uses for it just now: the number where it is known.
const canonicalOf = (chat) => (chat && numberOf(chat)) || chat;

function senderOf(model, chat, mine) {
  const wrote = mine ? me() : null;
  const id = (wrote && wrote.id) || person(model.author) || person(model.id.participant) || person(model.from) || chat;
  const lid = id.endsWith('@lid') ? id : wrote ? wrote.lid : lidOf(id);
  const number = id.endsWith('@c.us') ? id : numberOf(id);
  return {
    id,
    lid,
    phone: number ? user(number) : wrote ? wrote.phone : null,
    name: plainText(model.notifyName) || nameOf(id),
  };
}

function mediaOf(model) {
  if (!MEDIA.has(model.type)) return null;
  return {
    id: null,
    mimetype: plainText(model.mimetype),
    filename: plainText(model.filename),
    size: typeof model.size === 'number' ? model.size : null,
    sha256: plainText(model.filehash),
    status: 'remote',
  };
}

function quotedOf(model) {
  const raw = plainText(model.quotedStanzaID);
  if (!raw) return null;
  const quoted = model.quotedMsg || {};
  return {
    id: attempt(() => text(model.quotedMsgId), null) || raw,
    author: person(model.quotedParticipant),
    type: plainText(quoted.type),
    body: WRITTEN.has(quoted.type) ? plainText(quoted.body) : null,
  };
}

// The fields of wharf's message.
function plain(model) {
  const chat = chatOf(model);
  const mine = model.id.fromMe === true;
  const shared = chat.endsWith('@g.us') || chat.endsWith('@broadcast');
  return {
    id: text(model.id),
    chat,
    from: person(model.from) || chat,
    to: person(model.to) || chat,
    author: shared ? person(model.author) || person(model.id.participant) : null,
    sender: senderOf(model, chat, mine),
    from_me: mine,
    source: null,
    type: String(model.type),
    body: WRITTEN.has(model.type) ? plainText(model.body) : null,
    caption: MEDIA.has(model.type) ? plainText(model.caption) : null,
    media: attempt(() => mediaOf(model), null),
    quoted: attempt(() => quotedOf(model), null),
    mentions: attempt(() => Array.from(model.mentionedJidList || [], text).filter(Boolean), []),
    timestamp: Math.round(Number(model.t) * 1000) || 0,
    ack: typeof model.ack === 'number' ? model.ack : 0,
  };
}

// The same in a list that may stay empty: one message that cannot be read must not hide the others.
function readable(model) {
  try {
    return [plain(model)];
  } catch (error) {
    trouble(`a message cannot be read: ${reasonOf(error)}`);
    return [];
  }
}
