// Chats: the model, the list of all chats (newest first), and its readers.
//
// In: records (see storage.js). Out: WAWebChatModel, WAWebChatCollection, WAWebChatGetters, WAWebNewsletterCollection,
// WAWebGetEphemeralFieldsMsgActionsUtils.
// Must not write to storage.
//
// Sources: wa-js src/whatsapp/collections/ChatCollection.ts, stores.ts, chat/functions/list.ts and getMessages.ts
// (`lastReceivedKey`, `hasUnread`, `unreadCount`, `msgs`, `groupMetadata`, `presence`),
// functions/getShouldAppearInList.ts (without `getHasUnread` wa-js's own accessor calls itself without end).
'use strict';

__d('WAWebChatModel', [], (_global, require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');
  const { ChatMsgsCollection } = importNamespace('WAWebChatMsgsCollection');
  const { PresenceCollection } = importNamespace('WAWebPresenceCollection');

  class Chat extends BaseModel {
    initialize() {
      this.msgs = new ChatMsgsCollection(undefined, { parent: this });
      this.promises = {};
      const { id } = this;
      this.presence = PresenceCollection.gadd(id, { silent: true });
    }

    get contact() {
      return this.attributes && importNamespace('WAWebContactCollection').ContactCollection.get(this.id);
    }

    get groupMetadata() {
      return this.attributes && require('WAWebGroupMetadataCollection').get(this.id);
    }

    get formattedTitle() {
      return this.attributes && (this.name || `+${this.id.user}`);
    }

    /** The newest message that came in or went out. */
    noteMsg(msg) {
      const newest = this.msgs.get(this.lastReceivedKey);
      if (!newest || newest.order <= msg.order) {
        this.lastReceivedKey = msg.id;
      }
    }
  }
  defineModel(Chat, 'chat', [
    'id',
    'name',
    't',
    'unreadCount',
    'lastReceivedKey',
    'archive',
    'pin',
    'labels',
    'isReadOnly',
    'isParentGroup',
    'active',
    'pausedTimerId',
  ]);
  exports.Chat = Chat;
});

__d('WAWebChatCollection', [], (_global, require, importNamespace, _module, exports) => {
  const { BaseCollection } = importNamespace('WAWebBaseCollection');
  const { Chat } = importNamespace('WAWebChatModel');
  const { createWid } = importNamespace('WAWebWidFactory');

  class ChatCollectionImpl extends BaseCollection {
    static model = Chat;
    static comparator = (a, b) => (b.t ?? 0) - (a.t ?? 0);

    /** Puts a chat as its record has it, with its person or its members. */
    put(record) {
      const { ContactCollection } = importNamespace('WAWebContactCollection');
      const { lidPnCache } = importNamespace('WAWebApiContact');
      const id = createWid(record.id);
      if (record.group) {
        const metadata = require('WAWebGroupMetadataCollection').gadd(id);
        metadata.set({ subject: record.name });
        metadata.putParticipants(record.participants ?? []);
        for (const each of record.participants ?? []) {
          if (each.lid) lidPnCache.add(each.lid, { lid: each.lid, phoneNumber: each.id });
          ContactCollection.note(each.id, { pushname: each.name });
        }
      } else {
        if (record.lid) lidPnCache.add(record.lid, { lid: record.lid, phoneNumber: record.id });
        ContactCollection.note(record.id, {
          name: record.name,
          pushname: record.pushname,
          isAddressBookContact: record.name ? 1 : 0,
        });
      }
      const values = { name: record.name || record.pushname, t: record.t, unreadCount: record.unread };
      const known = this.get(id);
      if (!known) return this.add({ id, ...values });
      const moved = known.t !== record.t;
      known.set(values);
      if (moved) this.sort();
      return known;
    }
  }

  exports.ChatCollectionImpl = ChatCollectionImpl;
  exports.ChatCollection = new ChatCollectionImpl();
});

__d('WAWebChatGetters', [], (_global, _require, _import, _module, exports) => {
  exports.getHasUnread = (chat) => (chat.unreadCount ?? 0) !== 0;
  exports.getShouldAppearInList = () => true;
  exports.getPreviewMessage = (chat) => chat.msgs.get(chat.lastReceivedKey);
  exports.getShowChangeNumberNotification = () => false;
  exports.getShouldShowUnreadDivider = (chat) => (chat.unreadCount ?? 0) > 0;
});

__d('WAWebNewsletterCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseCollection } = importNamespace('WAWebBaseCollection');
  const { Chat } = importNamespace('WAWebChatModel');

  class NewsletterCollection extends BaseCollection {
    static model = Chat;
  }
  exports.default = new NewsletterCollection(); // assumed: this simulator has no channels
});

__d('WAWebGetEphemeralFieldsMsgActionsUtils', [], (_global, _require, _import, _module, exports) => {
  exports.getEphemeralFields = () => ({}); // assumed: no chat has disappearing messages
});
