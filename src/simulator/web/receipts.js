// Receipts: what others have of our messages, and what we have seen of theirs.
//
// In: receipts from PageInbox, `sendSeen` from wa-js. Out: WAWebHandleSimpleReceipt, WAWebUpdateUnreadChatAction.
// Must not write acks to storage: PageInbox has done so when these functions are called.
//
// Sources: wa-js src/whatsapp/functions/handleAck.ts (wraps these functions; levels 2 and above are told from there),
// markSeen.ts and chat/functions/markIsRead.ts (`sendSeen({chat, afterAvailable})` since 2.3000.1031992593).
'use strict';

__d('WAWebHandleSimpleReceipt', [], (_global, _require, importNamespace, _module, exports) => {
  async function raise(receipt) {
    const { ChatCollection } = importNamespace('WAWebChatCollection');
    const msgs = ChatCollection.get(receipt.from)?.msgs.getModelsArray() ?? [];
    const ids = new Set(receipt.externalIds);
    // From the newest back, because receipts are of new messages.
    for (let index = msgs.length - 1; index >= 0 && ids.size; index -= 1) {
      const msg = msgs[index];
      if (!msg.id.fromMe || !ids.delete(msg.id.id)) continue;
      if (msg.ack < receipt.level) msg.ack = receipt.level;
    }
  }

  exports.handleChatSimpleReceipt = raise;
  exports.handleGroupSimpleReceipt = raise;
  exports.handleStatusSimpleReceipt = async () => {}; // assumed: this simulator has no status posts
});

__d('WAWebUpdateUnreadChatAction', [], (_global, require, _import, _module, exports) => {
  const storage = require('PageStorage');

  async function setUnread(chat, unread) {
    await storage.write(async (stores, result) => {
      const record = await result(stores.chats.get(String(chat.id)));
      if (record) stores.chats.put({ ...record, unread });
    });
    chat.unreadCount = unread;
  }

  /** Tells the server which messages of the chat were seen. Lost when the page is not connected (assumed). */
  exports.sendSeen = async ({ chat }) => {
    const count = chat.unreadCount;
    if (!count) return;
    const id = String(chat.id);
    const newest = await storage.messagesOf(id, { count: Math.max(count, 1) + 20 });
    const ids = newest.filter((record) => !record.from_me).map((record) => record.id);
    require('PageSocket').send({ op: 'read', chat: id, ids: ids.slice(-Math.max(count, 1)) });
    await setUnread(chat, 0);
  };

  exports.markUnread = async (chat, unread) => {
    await setUnread(chat, unread ? -1 : 0);
    return chat;
  };
});
