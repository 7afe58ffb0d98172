// Ids of users, groups and lists (`NUMBER@c.us`, `NUMBER@lid`, `…@g.us`) and how they are made.
//
// Out: WAWebWid (default), WAWebWidFactory.
// Must refuse what is no id.
//
// Sources: wa-js src/whatsapp/misc/Wid.ts (found by `default.isXWid`), misc/WidFactory.ts (found by `createWid`) and
// util/createWid.ts, which passes an id that already has its server. The text of the error was seen through wa-js.
'use strict';

__d('WAWebWid', [], (_global, _require, _import, _module, exports) => {
  const FORM = /^([\w.+-]+?)(?::(\d+))?@(c\.us|s\.whatsapp\.net|g\.us|lid|broadcast|newsletter|call)$/;

  class Wid {
    constructor(id) {
      const [, user, device, server] = FORM.exec(String(id)) ?? [];
      if (server === undefined) {
        throw new Error(`wid error: invalid wid ${String(id)}`);
      }
      this.user = user;
      this.server = server === 's.whatsapp.net' ? 'c.us' : server;
      if (device !== undefined) this.device = Number(device);
      this._serialized = `${user}${device === undefined ? '' : `:${device}`}@${this.server}`;
    }

    toString() {
      return this._serialized;
    }

    toJSON() {
      return this._serialized;
    }

    toJid() {
      return this._serialized.replace('@c.us', '@s.whatsapp.net');
    }

    equals(other) {
      return Wid.equals(this, other);
    }

    isSameAccount(other) {
      return this.user === other?.user && this.server === other?.server;
    }

    isUser() {
      return this.server === 'c.us' || this.server === 'lid';
    }

    isLid() {
      return this.server === 'lid';
    }

    isGroup() {
      return this.server === 'g.us';
    }

    isBroadcast() {
      return this.server === 'broadcast';
    }

    isStatusV3() {
      return this._serialized === 'status@broadcast';
    }

    isNewsletter() {
      return this.server === 'newsletter';
    }

    isServer() {
      return this.user === 'server';
    }

    isPSA() {
      return this._serialized === '0@c.us';
    }

    isUserNotPSA() {
      return this.isUser() && !this.isPSA();
    }

    isBot() {
      return false;
    }

    isCompanion() {
      return Boolean(this.device);
    }

    getDeviceId() {
      return this.device ?? 0;
    }

    static equals(a, b) {
      return a !== undefined && a !== null && String(a) === String(b);
    }

    static isWid(value) {
      return FORM.test(String(value));
    }

    static isXWid(server, value) {
      return String(value).endsWith(`@${server}`);
    }

    static isUser(value) {
      return Wid.isXWid('c.us', value) || Wid.isXWid('lid', value);
    }

    static isLid(value) {
      return Wid.isXWid('lid', value);
    }

    static isGroup(value) {
      return Wid.isXWid('g.us', value);
    }

    static isBroadcast(value) {
      return Wid.isXWid('broadcast', value);
    }

    static isStatusV3(value) {
      return String(value) === 'status@broadcast';
    }

    static isNewsletter(value) {
      return Wid.isXWid('newsletter', value);
    }
  }

  exports.default = Wid;
});

__d('WAWebWidFactory', [], (_global, require, _import, _module, exports) => {
  const Wid = require('WAWebWid');

  const withServer = (user, server = 'c.us') =>
    new Wid(String(user).includes('@') ? String(user) : `${user}@${server}`);
  const withoutDevice = (wid) => new Wid(`${wid.user}@${wid.server}`);

  exports.createWid = (id) => (id instanceof Wid ? id : new Wid(id));
  exports.createUserWid = withServer;
  exports.createUserWidOrThrow = withServer;
  exports.createDeviceWid = (id) => new Wid(id);
  exports.createDeviceWidFromUserAndDevice = (user, server, device) => new Wid(`${user}:${device}@${server}`);
  exports.isWidlike = (value) =>
    value instanceof Wid ||
    (typeof value === 'object' && value !== null && typeof value.user === 'string' && typeof value.server === 'string');
  exports.createWidFromWidLike = (value) => (value instanceof Wid ? value : withServer(value.user, value.server));
  exports.toUserWid = withoutDevice;
  exports.toUserWidOrThrow = withoutDevice;
  exports.toChatWid = withoutDevice;
  exports.toGroupWid = withoutDevice;
  exports.userJidToUserWid = (jid) => withoutDevice(new Wid(jid));
});
