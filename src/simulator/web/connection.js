// The models that say how the page stands: code, socket, stream, network, and the bus of commands.
//
// Out: WAWebConnModel, WAWebSocketModel, WAWebStreamModel, WAWebNetworkStatus, WAWebCmd, WAWebHistorySyncProgress.
// Must not decide anything: PageSession sets these models, and takes the commands.
//
// Sources: wa-js src/conn/events (which `change:` of which model makes which event), src/conn/functions, the enums
// StreamMode, StreamInfo, SOCKET_STATE; `Socket.takeover()` and `Cmd.refreshQR()`: whatsapp-web.js and wa-js
// refreshQR.ts.
'use strict';

__d('WAWebConnModel', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class ConnImpl extends BaseModel {}
  defineModel(ConnImpl, 'conn', ['id', 'ref', 'refTTL', 'wid', 'connected', 'platform', 'pushname', 'isSMB']);

  exports.ConnImpl = ConnImpl;
  exports.Conn = new ConnImpl({ id: '1', connected: false, isSMB: false });
});

__d('WAWebSocketModel', [], (_global, require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class SocketModel extends BaseModel {
    /** Unlinks this device. wa-js then waits for the command `logout`. */
    logout() {
      require('PageSession').logout();
    }

    /** Takes the connection back from another page of the same device. */
    takeover() {
      require('PageSession').takeover();
    }

    poke() {
      require('PageSession').refreshCode();
    }
  }
  defineModel(SocketModel, 'socket', ['state', 'stream', 'hasSynced']);

  exports.Socket = new SocketModel({ state: 'OPENING', stream: 'DISCONNECTED', hasSynced: false });
});

__d('WAWebStreamModel', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class StreamModel extends BaseModel {
    // assumed: the account is shown as online while the page says so; the server of this simulator is not told
    markAvailable() {
      this.available = true;
    }

    markUnavailable() {
      this.available = false;
    }
  }
  defineModel(StreamModel, 'stream', ['mode', 'info', 'needsUpdate', 'available']);

  exports.Stream = new StreamModel({ mode: undefined, info: 'OPENING', needsUpdate: false });
});

__d('WAWebNetworkStatus', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class NetworkStatusModel extends BaseModel {
    initialize() {
      for (const name of ['online', 'offline']) window.addEventListener(name, () => this.checkOnline());
    }

    checkOnline() {
      this.online = navigator.onLine;
    }
  }
  defineModel(NetworkStatusModel, 'networkStatus', ['online']);

  exports.default = new NetworkStatusModel({ online: navigator.onLine });
});

__d('WAWebCmd', [], (_global, require, _import, _module, exports) => {
  const EventEmitter = require('WAWebEventEmitter');

  class CmdImpl extends EventEmitter {
    isMainLoaded = false;

    mainLoaded() {
      this.isMainLoaded = true;
      this.trigger('main_loaded');
    }

    logout() {
      this.isMainLoaded = false;
      this.trigger('logout');
    }

    /** Takes messages back for everybody. */
    async sendRevokeMsgs(_chat, { list }) {
      for (const msg of list) await require('PageDeeds').order(msg, { kind: 'revoke' });
    }

    refreshQR() {
      require('PageSession').refreshCode();
    }
  }

  exports.CmdImpl = CmdImpl;
  exports.Cmd = new CmdImpl();
});

__d('WAWebHistorySyncProgress', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class HistorySyncProgressModel extends BaseModel {}
  defineModel(HistorySyncProgressModel, 'historySyncProgress', ['realProgress', 'remainingPausedSeconds']);

  const progress = new HistorySyncProgressModel({ realProgress: 0, remainingPausedSeconds: 0 });
  exports.HistorySyncProgressModel = HistorySyncProgressModel;
  exports.getHistorySyncProgressModel = () => progress;
});
