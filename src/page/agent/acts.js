// What is done beside sending, and what is looked up: all of it may be asked twice.

// A build of the library, or a release of WhatsApp Web, may lack one of these; the rest goes on.
function supported(part, name) {
  if (attempt(() => typeof WPP[part][name] === 'function', false)) return WPP[part][name].bind(WPP[part]);
  throw new Error(`not_supported: the in-page library has no ${part}.${name}`);
}

// A message is found in a chat that is loaded only.
async function chatOfMessage(id) {
  const chat = id.split('_')[1];
  if (!chat) throw new Error(`\`${id}\` is not the id of a message`);
  await findChat(chat);
  await WPP.chat.getMessageById(id);
  return chat;
}

// WhatsApp says what came of it as a word, or as an object with the word.
function mustBeOk(result) {
  const verdict = result && result.sendMsgResult && (result.sendMsgResult.messageSendResult || result.sendMsgResult);
  if (typeof verdict === 'string' && verdict.toUpperCase() !== 'OK') throw new Error(verdict);
}

async function isGroupAdmin(chat) {
  return chat.endsWith('@g.us') && (await WPP.group.iAmAdmin(chat).catch(() => false)) === true;
}

const ACTS = {
  async react({ message, emoji }) {
    const react = supported('chat', 'sendReactionToMessage');
    await chatOfMessage(message);
    mustBeOk(await react(message, emoji));
  },

  async edit({ message, text: words }) {
    const edit = supported('chat', 'editMessage');
    await chatOfMessage(message);
    mustBeOk(await edit(message, words, { linkPreview: false, markIsRead: false, detectMentioned: false }));
  },

  async revoke({ message }) {
    const remove = supported('chat', 'deleteMessage');
    const chat = await chatOfMessage(message);
    // Of others' messages the library would delete the account's own copy and say nothing.
    if (!message.startsWith('true_') && !(await isGroupAdmin(chat))) {
      throw new Error('only an own message, or as an admin one of the group, can be taken back');
    }
    const done = await remove(chat, message, false, true);
    if (!done.isRevoked) throw new Error('WhatsApp Web did not take it back');
  },

  async read({ chat }) {
    await supported('chat', 'markIsRead')(text((await findChat(chat)).id));
  },

  async typing({ chat, millis }) {
    const [begin, end] = [supported('chat', 'markIsComposing'), supported('chat', 'markIsPaused')];
    const id = text((await findChat(chat)).id);
    // Without a time: with one the library answers only when it is over.
    await begin(id);
    setTimeout(() => void end(id).catch((error) => trouble(reasonOf(error))), millis);
  },
};

async function contactOf({ id }) {
  if (id.endsWith('@g.us') || id.endsWith('@broadcast')) return null;
  let wanted = id.includes('@') ? id : `${id.replace('+', '')}@c.us`;
  let lid = wanted.endsWith('@lid') ? wanted : lidOf(wanted);
  let contact = attempt(() => WPP.whatsapp.ContactStore.get(wanted), null);
  let business = false;
  if (!contact) {
    const found = await WPP.contact.queryExists(wanted);
    if (!found || !found.wid) return null;
    wanted = text(found.wid);
    lid = lid || lidOf(wanted) || text(found.lid);
    business = found.biz === true;
    contact = attempt(() => WPP.whatsapp.ContactStore.get(wanted), null);
  }
  const is = (name) => contact && attempt(() => contact[name] === true, false);
  const number = wanted.endsWith('@c.us') ? wanted : numberOf(wanted);
  return {
    id: wanted,
    phone: number ? user(number) : null,
    lid,
    name: (contact && (plainText(contact.name) || plainText(contact.pushname) || plainText(contact.verifiedName))) || null,
    business: business || is('isBusiness') || is('isEnterprise') || is('isSMB') || false,
  };
}

async function chatsOf({ unread, groups, limit }) {
  const models = Array.from(await WPP.chat.list({ ignoreGroupMetadata: true }));
  const summary = (chat) => ({
    id: text(chat.id),
    name: plainText(chat.name) || attempt(() => plainText(chat.formattedTitle), null),
    unread: typeof chat.unreadCount === 'number' ? chat.unreadCount : 0,
    last: Math.round(Number(chat.t) * 1000) || 0,
  });
  return models
    .map(summary)
    .filter((chat) => chat.id !== STATUS_POSTS && (!unread || chat.unread !== 0))
    .filter((chat) => typeof groups !== 'boolean' || chat.id.endsWith('@g.us') === groups)
    .sort((one, other) => other.last - one.last)
    .slice(0, limit);
}

async function historyOf({ chat, limit, before }) {
  const messages = await collect(text((await findChat(chat)).id), 0, limit, before);
  return messages.filter((message) => !isEncrypted(message)).slice(-limit).flatMap(readable);
}

const LOOKS = { contact: contactOf, chats: chatsOf, history: historyOf };
