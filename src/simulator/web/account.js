// Who this page is: the linked account, the login that proves it, and the keys of the code that asks for a link.
//
// Out: PageAccount (own: what the other modules set and read), WAWebUserPrefsMeUser, WAWebUserPrefsMultiDevice,
// WAWebUserPrefsInfoStore, WAWebSignalStoreApi, WAWebLoginState.
// Must not talk to the server.
//
// Sources: wa-js src/conn/functions/getAuthCode.ts (which keys the code is made of, and from where),
// isAuthenticated.ts, isRegistered.ts, src/whatsapp/misc/UserPrefs.ts. That a part of the login is in localStorage is
// known of the real page; which part is assumed.
'use strict';

__d('PageAccount', [], (_global, _require, _import, _module, exports) => {
  const LOCAL_KEY = 'WANoiseInfo';

  const state = { me: null };

  exports.me = () => state.me;
  exports.setMe = (me) => {
    state.me = me;
  };

  /** The half of the login that lives in localStorage: which device, and the key that proves it. */
  exports.readKey = () => {
    try {
      return JSON.parse(localStorage.getItem(LOCAL_KEY));
    } catch {
      return null;
    }
  };
  exports.writeKey = (device) => localStorage.setItem(LOCAL_KEY, JSON.stringify({ id: device.id, key: device.key }));
  exports.forgetKey = () => localStorage.removeItem(LOCAL_KEY);

  const random = () => crypto.getRandomValues(new Uint8Array(32)).buffer;
  // assumed: made anew by each document that is not linked; nothing in this simulator is encrypted with them
  exports.keys = { noise: random(), identity: random(), advSecret: random() };
});

__d('WAWebUserPrefsMeUser', [], (_global, _require, importNamespace, _module, exports) => {
  const { me } = importNamespace('PageAccount');
  const { createWid } = importNamespace('WAWebWidFactory');

  const phone = () => (me() ? createWid(me().wid) : undefined);
  const lid = () => (me()?.lid ? createWid(me().lid) : undefined);
  const orThrow = (read, what) => () => {
    const wid = read();
    if (!wid) throw new Error(`${what} is not set`);
    return wid;
  };

  exports.getMaybeMePnUser = phone;
  exports.getMaybeMeLidUser = lid;
  exports.getMePnUserOrThrow = orThrow(phone, 'the own phone number');
  exports.getMeLidUserOrThrow = orThrow(lid, 'the own lid');
  exports.getMaybeMeDevicePn = phone;
  exports.getMaybeMeDeviceLid = lid;
  exports.getMaybeMeDisplayName = () => me()?.name;
  exports.isMeAccount = (wid) => Boolean(phone()?.equals(wid) || lid()?.equals(wid));
});

__d('WAWebUserPrefsMultiDevice', [], (_global, _require, importNamespace, _module, exports) => {
  const { me, keys } = importNamespace('PageAccount');
  const { encodeB64 } = importNamespace('WABase64');

  exports.getADVSecretKey = () => encodeB64(keys.advSecret);
  exports.setADVSignedIdentity = () => {};
  exports.isRegistered = () => me() !== null;
});

__d('WAWebUserPrefsInfoStore', [], (_global, _require, importNamespace, _module, exports) => {
  const { keys } = importNamespace('PageAccount');
  exports.waNoiseInfo = { get: async () => ({ staticKeyPair: { pubKey: keys.noise } }) };
});

__d('WAWebSignalStoreApi', [], (_global, _require, importNamespace, _module, exports) => {
  const { keys } = importNamespace('PageAccount');
  exports.waSignalStore = {
    getRegistrationInfo: async () => ({ registrationId: 1, identityKeyPair: { pubKey: keys.identity } }),
  };
});

__d('WAWebLoginState', [], (_global, _require, importNamespace, _module, exports) => {
  const { me } = importNamespace('PageAccount');
  exports.isLoggedIn = () => me() !== null;
});
