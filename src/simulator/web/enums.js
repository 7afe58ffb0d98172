// Constants that the library looks for by name: version, acks, kinds of messages, states, results, clock, switches.
//
// Out: one small module for each. Must not hold state.
//
// Sources: the names and values in wa-js src/whatsapp/enums, contants and functions. The version is one that wa-js 4.6
// names in its source (loader/lazyModules.ts); it chooses the newer shapes of calls. Ids without a source are assumed.
'use strict';

__d('WAWebBuildConstants', [], (_global, _require, _import, _module, exports) => {
  exports.SANITIZED_VERSION_STR = '2.3000.1045220589';
});

__d('WAWebAck', [], (_global, _require, _import, _module, exports) => {
  exports.ACK = { FAILED: -1, CLOCK: 0, SENT: 1, RECEIVED: 2, READ: 3, PLAYED: 4 };
  exports.ACK_STRING = {
    SENDER: 'sender',
    DELIVERY: 'delivery',
    READ: 'read',
    PLAYED: 'played',
    INACTIVE: 'inactive',
    READ_SELF: 'read-self',
    PLAYED_SELF: 'played-self',
  };
  exports.EDIT_ATTR = { SENDER_REVOKE: 7, ADMIN_REVOKE: 8 };
});

__d('WAWebMsgType', [], (_global, _require, _import, _module, exports) => {
  exports.MSG_TYPE = { CHAT: 'chat', CIPHERTEXT: 'ciphertext', PROTOCOL: 'protocol', CALL_LOG: 'call_log' };
  exports.SYSTEM_MESSAGE_TYPES = ['protocol', 'e2e_notification', 'gp2'];
});

__d('WAWebNonJidMentionType', [], (_global, _require, _import, _module, exports) => {
  exports.default = { MENTION_ALL: 1 };
});

__d('WAWebSocketConstants', [], (_global, _require, _import, _module, exports) => {
  const names = (...list) => Object.fromEntries(list.map((name) => [name, name]));
  exports.SOCKET_STATE = names(
    'OPENING',
    'PAIRING',
    'UNPAIRED',
    'UNPAIRED_IDLE',
    'CONNECTED',
    'TIMEOUT',
    'CONFLICT',
    'UNLAUNCHED',
    'PROXYBLOCK',
    'TOS_BLOCK',
    'SMB_TOS_BLOCK',
    'DEPRECATED_VERSION',
  );
  exports.SOCKET_STREAM = names('DISCONNECTED', 'SYNCING', 'RESUMING', 'CONNECTED');
  exports.WATCHED_SOCKET_STATE = names('OPEN', 'CLOSED');
});

__d('WAWebSendMsgResultAction', [], (_global, _require, _import, _module, exports) => {
  exports.SendMsgResult = {
    OK: 'OK',
    ERROR_NETWORK: 'ERROR_NETWORK',
    ERROR_EXPIRED: 'ERROR_EXPIRED',
    ERROR_CANCELLED: 'ERROR_CANCELLED',
    ERROR_UPLOAD: 'ERROR_UPLOAD',
    ERROR_UNKNOWN: 'ERROR_UNKNOWN',
  };
});

__d('WAWebLogoutReason', [], (_global, _require, _import, _module, exports) => {
  exports.LogoutReason = {
    UserInitiated: 'user_initiated',
    UnknownCompanion: 'unknown_companion',
    WebFailStorageInitialization: 'web_fail_storage_initialization',
  };
  exports.LOGOUT_REASON_CODE = {
    CLIENT_FATAL: '0',
    SYNC_FAIL: '1',
    INITIAL_HISTORY_SYNC_TIMEOUT: '2',
    ACCOUNT_LOCKED: '3',
  };
});

__d('WAWebLogoutReasonUtils', [], (_global, _require, _import, _module, exports) => {
  // assumed: a logout that somebody asked for has no code, any other counts as the client's failure
  exports.getErrorCodeFromLogoutReason = (reason) => (reason === 'user_initiated' ? null : '0');
});

__d('WATimeUtils', [], (_global, _require, _import, _module, exports) => {
  exports.unixTime = () => Math.floor(Date.now() / 1000);
  exports.unixTimeMs = () => Date.now();
});

__d('WABase64', [], (_global, _require, _import, _module, exports) => {
  exports.encodeB64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
  exports.decodeB64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
});

__d('WARandomHex', [], (_global, _require, _import, _module, exports) => {
  exports.randomHex = (length) =>
    Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => byte.toString(16).padStart(2, '0'))
      .join('')
      .toUpperCase();
});

__d('WAWebABProps', [], (_global, _require, _import, _module, exports) => {
  // assumed: no experiment is on
  exports.getABPropConfigValue = () => undefined;
});

__d('WAWebLid1X1MigrationUtils', [], (_global, _require, _import, _module, exports) => {
  // assumed: chats are kept under the phone number
  exports.Lid1X1MigrationUtils = { isLidMigrated: () => false };
});
