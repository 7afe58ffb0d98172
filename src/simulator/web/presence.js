// Who is online or writing, status posts, blocks and calls. The server of this simulator says nothing of them, so these
// models stay empty; it is told when this account is typing.
//
// Out: WAWebPresenceCollection, WAWebChatPresence, WAWebStatusCollection, WAWebBlocklistCollection,
// WAWebCallCollection.
// Must not send anything but that.
//
// Sources: wa-js src/chat/events/registerPresenceChange.ts (subscribes each chat at main_ready),
// chat/functions/markIsComposing.ts, blocklist/events, status/events, call/events: without these modules their
// listeners are errors of the page. That nothing comes from them is assumed.
'use strict';

__d('WAWebPresenceCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');
  const { BaseCollection } = importNamespace('WAWebBaseCollection');

  class Chatstate extends BaseModel {}
  defineModel(Chatstate, 'chatstate', ['id', 'type', 't']);

  class Presence extends BaseModel {
    subscriptions = 0;

    async subscribe() {
      this.subscriptions += 1;
    }
  }
  defineModel(Presence, 'presence', ['id', 'chatstate', 'isOnline', 'isGroup', 'isUser', 'hasData']);

  class PresenceCollectionImpl extends BaseCollection {
    static model = Presence;
  }

  exports.Chatstate = Chatstate;
  exports.Presence = Presence;
  // source: wa-js stores.ts: `PresenceCollectionImpl`, where it is there, is taken for the store, so it is not exported
  exports.PresenceCollection = new PresenceCollectionImpl();
});

__d('WAWebChatPresence', [], (_global, require, _import, _module, exports) => {
  const mark = (type) => async (chat) => {
    chat.set('ownState', type);
    require('PageSocket').send({ op: 'typing', chat: String(chat.id), on: type === 'composing' });
  };
  exports.markComposing = mark('composing');
  exports.markRecording = mark('recording_audio');
  exports.markPaused = mark('paused');
});

__d('WAWebBlocklistCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');
  const { BaseCollection } = importNamespace('WAWebBaseCollection');

  class Blocklist extends BaseModel {}
  defineModel(Blocklist, 'blocklist', ['id']);

  class BlocklistCollectionImpl extends BaseCollection {
    static model = Blocklist;
  }
  exports.BlocklistCollectionImpl = BlocklistCollectionImpl;
  exports.BlocklistCollection = new BlocklistCollectionImpl();
});

__d('WAWebCallCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');
  const { BaseCollection } = importNamespace('WAWebBaseCollection');

  class Call extends BaseModel {}
  defineModel(Call, 'call', ['id', 'peerJid', 'isGroup', 'isVideo', 'offerTime', 'outgoing']);

  class CallCollection extends BaseCollection {
    static model = Call;

    processIncomingCall(call) {
      return this.add(call);
    }
  }
  exports.default = new CallCollection();
});

__d('WAWebStatusCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');
  const { BaseCollection } = importNamespace('WAWebBaseCollection');

  class StatusV3 extends BaseModel {}
  defineModel(StatusV3, 'statusV3', ['id', 't']);

  class StatusCollectionImpl extends BaseCollection {
    static model = StatusV3;
  }
  exports.StatusCollectionImpl = StatusCollectionImpl;
  exports.StatusCollection = new StatusCollectionImpl();
});
