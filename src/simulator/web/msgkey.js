// The id of a message in this account: `true_CHAT_ID`, or `false_GROUP_ID_AUTHOR` in a group.
//
// Out: WAWebMsgKey (default). Must not cache under `_serialized`.
//
// Sources: wa-js src/whatsapp/misc/MsgKey.ts (found by the text 'MsgKey error: obj is null/undefined'; since
// 2.3000.1042401057 the text is cached in a minified property that `toString` returns) and misc/randomId.ts (`newId`).
// The form of a new id (3EB0 and 18 hex digits): public issues of whatsapp-web.js show such ids.
'use strict';

__d('WAWebMsgKey', [], (_global, require, importNamespace, _module, exports) => {
  const { createWid } = importNamespace('WAWebWidFactory');
  const { randomHex } = importNamespace('WARandomHex');

  class MsgKey {
    constructor(options) {
      if (!options) {
        throw new Error('MsgKey error: obj is null/undefined');
      }
      const { from, to, selfDir, id, participant } = options;
      this.fromMe = selfDir ? selfDir === 'out' : Boolean(options.fromMe);
      this.remote = createWid(selfDir ? (this.fromMe ? to : from) : options.remote);
      this.id = id;
      if (participant) this.participant = createWid(participant);
      this.$1 = [this.fromMe, this.remote, id, this.participant].filter((part) => part !== undefined).join('_');
    }

    toString() {
      return this.$1;
    }

    equals(other) {
      return other !== undefined && other !== null && this.toString() === other.toString();
    }

    clone() {
      return new MsgKey(this);
    }

    static fromString(text) {
      const [fromMe, remote, id, participant, ...rest] = String(text).split('_');
      if (!id || rest.length || (fromMe !== 'true' && fromMe !== 'false')) {
        throw new Error(`MsgKey error: cannot read ${String(text)}`);
      }
      return new MsgKey({ fromMe: fromMe === 'true', remote: createWid(remote), id, participant });
    }

    static async newId() {
      return `3EB0${randomHex(9)}`;
    }

    static from(value) {
      return value instanceof MsgKey ? value : MsgKey.fromString(value);
    }
  }

  exports.default = MsgKey;
});
