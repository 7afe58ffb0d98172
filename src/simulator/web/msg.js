// Messages: the model, the store of all that are in memory, and the way from a stored record to a model.
//
// In: records (see storage.js). Out: WAWebMsgModel, WAWebMsgCollection, WAWebChatMsgsCollection, PageMsgRecord (own),
// WAWebMsgReply, WAWebQuotedMsgModelUtils, WAWebMsgUnread.
// Must not write to storage; `chat` of a message is left to wa-js, which defines it.
//
// Sources: wa-js src/whatsapp/collections/MsgCollection.ts, chat/events/registerNewMessageEvent.ts (the event is the
// store's `add` of a message with isNewMsg; a ciphertext is told again at `change:type`), prepareRawMessage.ts
// (`canReplyMsg`, `msgContextInfo`), getQuotedMsgKey.ts (quotedStanzaID, quotedParticipant).
'use strict';

__d('WAWebMsgModel', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class Msg extends BaseModel {
    /** Who wrote it. */
    get sender() {
      return this.attributes?.author ?? this.attributes?.from;
    }

    // source: wa-js chat/functions/deleteMessage.ts (`msg.senderObj.isMe`)
    get senderObj() {
      return this.attributes && importNamespace('WAWebContactCollection').ContactCollection.note(this.sender, {});
    }

    /** Fetches the file that it carries into the cache. */
    downloadMedia() {
      return importNamespace('PageMedia').download(this);
    }

    /** What an answer to this message carries of it. */
    msgContextInfo() {
      return {
        quotedMsg: { type: this.type, body: this.mediaData ? this.caption || `(${this.type})` : this.body },
        quotedStanzaID: this.id.id,
        quotedParticipant: this.sender,
        quotedRemoteJid: undefined,
      };
    }
  }
  defineModel(Msg, 'msg', [
    'id',
    'from',
    'to',
    'author',
    'self',
    'type',
    'subtype',
    'body',
    'caption',
    't',
    'ack',
    'notifyName',
    'isNewMsg',
    'local',
    'quotedMsg',
    'quotedStanzaID',
    'quotedParticipant',
    'quotedRemoteJid',
    'mentionedJidList',
    'isForwarded',
    'star',
    'latestEditMsgKey',
    'mediaData',
    'mimetype',
    'filename',
    'size',
    'filehash',
    'reactions',
    'isLive',
    'isStatusV3',
    'order',
  ]);
  exports.Msg = Msg;
});

__d('PageMsgRecord', [], (_global, require, importNamespace, _module, exports) => {
  const MsgKey = require('WAWebMsgKey');
  const { createWid } = importNamespace('WAWebWidFactory');

  /**
   * The record of a message of the server. In a group the key names who wrote it; oneself by lid (source: wa-js
   * generateMessageID.ts).
   */
  exports.recordOf = (message) => {
    const me = importNamespace('PageAccount').me();
    const remote = createWid(message.chat);
    const author = message.from_me ? me.lid || me.wid : message.author;
    const id = {
      fromMe: Boolean(message.from_me),
      remote,
      id: message.id,
      participant: remote.isGroup() ? author : undefined,
    };
    return {
      ...message,
      key: new MsgKey(id).toString(),
      from: message.from_me ? me.wid : message.chat,
      to: message.from_me ? message.chat : me.wid,
      order: importNamespace('PageStorage').nextOrder(),
    };
  };

  /** The record of a message that is to be sent, from the raw attributes that wa-js has made. */
  exports.recordOfRaw = (raw) => ({
    key: String(raw.id),
    id: raw.id.id,
    chat: String(raw.id.remote),
    from: String(raw.from),
    to: String(raw.to),
    author: raw.to.isGroup() ? String(raw.from) : undefined,
    from_me: true,
    type: raw.type,
    body: raw.body ?? '',
    t: raw.t,
    name: importNamespace('PageAccount').me().name,
    quoted: raw.quotedStanzaID && {
      id: raw.quotedStanzaID,
      body: raw.quotedMsg?.body ?? '',
      author: raw.quotedParticipant && String(raw.quotedParticipant),
    },
    mentions: raw.mentionedJidList?.map(String) ?? [],
    caption: raw.medium ? raw.caption : '',
    media: raw.medium,
    ack: 0,
    order: importNamespace('PageStorage').nextOrder(),
  });

  /** The message of the protocol, from its record. */
  exports.messageOf = (record) => {
    const { key: _key, order: _order, ...message } = record;
    return message;
  };

  /** Attributes of a message model, from its record. */
  exports.attributesOf = (record, isNewMsg) => {
    const attributes = {
      id: MsgKey.fromString(record.key),
      from: createWid(record.from),
      to: createWid(record.to),
      self: record.from_me ? 'out' : 'in',
      type: record.type,
      body: record.body,
      t: record.t,
      ack: record.ack,
      notifyName: record.name,
      order: record.order,
      isNewMsg,
    };
    if (record.media) {
      const { mimetype, filename, size, filehash } = record.media;
      // source: reference of wa-js's `chat.new_message`: the body of a file is a thumbnail in base64
      Object.assign(attributes, { mimetype, filename, size, filehash, caption: record.caption, body: '/9j/4AAQSkZJRg==' });
      attributes.mediaData = importNamespace('PageMedia').dataOf(record.media);
    }
    if (record.reactions) attributes.reactions = record.reactions;
    if (record.author) attributes.author = createWid(record.author);
    if (record.mentions?.length) attributes.mentionedJidList = record.mentions.map(createWid);
    if (record.quoted) {
      attributes.quotedStanzaID = record.quoted.id;
      attributes.quotedParticipant = record.quoted.author ? createWid(record.quoted.author) : undefined;
      attributes.quotedMsg = { type: 'chat', body: record.quoted.body };
    }
    return attributes;
  };
});

__d('WAWebChatMsgsCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseCollection } = importNamespace('WAWebBaseCollection');
  const { Msg } = importNamespace('WAWebMsgModel');

  /** The messages of one chat that are in memory. */
  class ChatMsgsCollection extends BaseCollection {
    static model = Msg;
    loadAroundPromise = Promise.resolve();
  }
  exports.ChatMsgsCollection = ChatMsgsCollection;
});

__d('WAWebMsgCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseCollection } = importNamespace('WAWebBaseCollection');
  const { Msg } = importNamespace('WAWebMsgModel');

  class MsgCollectionImpl extends BaseCollection {
    static model = Msg;

    /**
     * Takes messages of one chat in, as attributes. One that is there already is not added again; one that was
     * a ciphertext gets its content.
     */
    async processMultipleMessages(chatId, messages) {
      const chat = importNamespace('WAWebChatCollection').ChatCollection.get(chatId);
      // What says something of another message is no message itself.
      return messages.filter(({ type }) => type !== 'protocol').map((attributes) => {
        const known = this.get(attributes.id);
        if (known) {
          if (known.type === 'ciphertext' && attributes.type !== 'ciphertext') {
            const { id: _id, isNewMsg: _isNewMsg, ...content } = attributes;
            known.set(content);
          }
          return known;
        }
        const msg = new Msg(attributes);
        chat?.msgs.add(msg);
        chat?.noteMsg(msg);
        return this.add(msg);
      });
    }
  }

  exports.MsgCollectionImpl = MsgCollectionImpl;
  exports.MsgCollection = new MsgCollectionImpl();
});

__d('WAWebMsgReply', [], (_global, _require, _import, _module, exports) => {
  exports.canReplyMsg = (msg) => (msg.type === 'chat' || Boolean(msg.mediaData)) && msg.ack >= 0;
});

__d('WAWebQuotedMsgModelUtils', [], (_global, require, importNamespace, _module, exports) => {
  const MsgKey = require('WAWebMsgKey');
  const { Msg } = importNamespace('WAWebMsgModel');

  /** The message that this one answers: itself where it is in memory, else made of what the answer carries. */
  exports.getQuotedMsgObj = (msg) => {
    if (msg.quotedStanzaID === undefined) return null;
    const { isMeAccount, getMaybeMeLidUser } = importNamespace('WAWebUserPrefsMeUser');
    const author = msg.quotedParticipant;
    const remote = msg.id.remote;
    const fromMe = author !== undefined && isMeAccount(author);
    const participant = remote.isGroup() ? (fromMe && getMaybeMeLidUser()) || author : undefined;
    const id = new MsgKey({ fromMe, remote, id: msg.quotedStanzaID, participant });
    const found = importNamespace('WAWebMsgCollection').MsgCollection.get(id);
    return found ?? new Msg({ ...msg.quotedMsg, id, from: author, to: remote });
  };
});

__d('WAWebMsgUnread', [], (_global, _require, _import, _module, exports) => {
  // source: wa-js chat/patch.ts names the function; which types count is assumed
  exports.getIsUnreadType = (msg) => msg.type === 'chat' || msg.type === 'ciphertext' || Boolean(msg.media ?? msg.mediaData);
});
