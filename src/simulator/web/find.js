// Finding chats and messages, in memory or in storage.
//
// Out: WAWebFindChatAction, WAWebDBMessageFindLocal, WAWebChatMessageSearch, WAWebChatSearchQuery.
// Must not put messages that are read from storage into the store of all messages: that would be news.
//
// Sources: wa-js chat/functions/find.ts (takes the id of the returned chat, which may differ from what was asked),
// getMessages.ts (`msgFindByDirection({anchor, count, direction})`, the anchor not in the answer, oldest first),
// getMessageById.ts (`getSearchContext({chat, msgKey})` and its `collection.loadAroundPromise`),
// chat/events/registerActiveFilterEvent.ts (`SearchQuery.updateLabelQuery`, by id).
'use strict';

__d('WAWebFindChatAction', [], (_global, require, importNamespace, _module, exports) => {
  const storage = require('PageStorage');

  function known(wid) {
    const { ChatCollection } = importNamespace('WAWebChatCollection');
    const { getCurrentLid, getPhoneNumber } = importNamespace('WAWebApiContact');
    return ChatCollection.get(wid) ?? ChatCollection.get(wid.isLid() ? getPhoneNumber(wid) : getCurrentLid(wid));
  }

  /** The chat with somebody, made when the server knows the number. */
  exports.findOrCreateLatestChat = async (wid) => {
    const chat = known(wid);
    if (chat) return { chat: { id: chat.id }, created: false };
    if (!wid.isUser()) throw new Error(`no chat ${wid}`); // assumed
    // source: issues of whatsapp-web.js: a number without an account is refused with this text
    const who = await importNamespace('WAWebQueryExistsJob').queryWidExists(wid);
    if (!who) throw new Error('No LID for user');

    const meanwhile = known(who.wid);
    if (meanwhile) return { chat: { id: meanwhile.id }, created: false };
    const lid = importNamespace('WAWebApiContact').getCurrentLid(who.wid);
    const record = {
      id: String(who.wid),
      lid: lid && String(lid),
      name: '',
      pushname: who.name,
      unread: 0,
      group: false,
      participants: [],
      t: 0,
    };
    await storage.write(async (stores, result) => {
      if (!(await result(stores.chats.get(record.id)))) stores.chats.put(record);
    });
    const { ChatCollection } = importNamespace('WAWebChatCollection');
    const created = known(who.wid) ?? ChatCollection.put(record);
    return { chat: { id: created.id }, created: true };
  };
});

__d('WAWebDBMessageFindLocal', [], (_global, require, importNamespace, _module, exports) => {
  const storage = require('PageStorage');
  const { attributesOf } = importNamespace('PageMsgRecord');

  exports.msgFindByDirection = async ({ anchor, count, direction }) => {
    const record = await storage.message(String(anchor));
    if (!record) return { messages: [], status: 404 }; // assumed
    const range = direction === 'after' ? { after: record.order } : { before: record.order };
    const found = count > 0 ? await storage.messagesOf(record.chat, { ...range, count }) : [];
    return { messages: found.map((each) => attributesOf(each, false)), status: 200 };
  };
  exports.msgFindBefore = (params) => exports.msgFindByDirection({ ...params, direction: 'before' });
  exports.msgFindAfter = (params) => exports.msgFindByDirection({ ...params, direction: 'after' });
});

__d('WAWebChatMessageSearch', [], (_global, require, importNamespace, _module, exports) => {
  const storage = require('PageStorage');
  const { attributesOf } = importNamespace('PageMsgRecord');
  const { ChatMsgsCollection } = importNamespace('WAWebChatMsgsCollection');

  /** The message and its surroundings, read from storage; `length` 1 tells wa-js the shape of the argument. */
  exports.getSearchContext = ({ msgKey }) => {
    const collection = new ChatMsgsCollection();
    collection.loadAroundPromise = storage.message(String(msgKey)).then((record) => {
      if (record) collection.add(attributesOf(record, false));
    });
    return { collection, key: msgKey, highlightMsg: true };
  };
});

__d('WAWebChatSearchQuery', [], (_global, _require, _import, _module, exports) => {
  // assumed: the filter above the list of chats; this page has no place to choose one
  exports.SearchQuery = class SearchQuery {
    filter = undefined;

    updateLabelQuery(filter) {
      this.filter = filter;
    }
  };
});
