// Events in the manner of Backbone, the base of every model and collection, and the bus of WhatsApp's backend events.
//
// Out: WAWebEventEmitter (default), WAWebBackendEventBus.
// Must not let one listener's error stop the page.
//
// Sources: wa-js finds the emitter by its id or by the text 'Callback parameter passed is not a function'
// (src/whatsapp/misc/EventEmitter.ts) and uses on, once, off, trigger; the bus and its names: misc/BackendEventBus.ts.
'use strict';

__d('WAWebEventEmitter', [], (_global, _require, _import, _module, exports) => {
  class EventEmitter {
    on(names, callback, context) {
      if (typeof callback !== 'function') {
        throw new TypeError('Callback parameter passed is not a function');
      }
      const listeners = (this._listeners ??= new Map());
      for (const name of names.split(/\s+/)) {
        if (!listeners.has(name)) listeners.set(name, []);
        listeners.get(name).push({ callback, context });
      }
      return this;
    }

    once(name, callback, context) {
      const first = (...args) => {
        this.off(name, first);
        callback.apply(context ?? this, args);
      };
      first.original = callback;
      return this.on(name, first, context);
    }

    off(names, callback, context) {
      const listeners = this._listeners;
      if (!listeners) return this;
      for (const name of names ? names.split(/\s+/) : [...listeners.keys()]) {
        const kept = (listeners.get(name) ?? []).filter(
          (each) =>
            (callback && each.callback !== callback && each.callback.original !== callback) ||
            (context && each.context !== context),
        );
        if (kept.length) listeners.set(name, kept);
        else listeners.delete(name);
      }
      return this;
    }

    trigger(name, ...args) {
      this._call(name, args);
      this._call('all', [name, ...args]);
      return this;
    }

    listenTo(other, names, callback) {
      other.on(names, callback, this);
      return this;
    }

    stopListening(other, names, callback) {
      other?.off(names, callback, this);
      return this;
    }

    _call(name, args) {
      for (const { callback, context } of [...(this._listeners?.get(name) ?? [])]) {
        try {
          callback.apply(context ?? this, args);
        } catch (error) {
          // Backbone would stop here and lose the listeners after it (assumed: WhatsApp guards them, ErrorGuard).
          reportError(error);
        }
      }
    }
  }

  exports.default = EventEmitter;
});

__d('WAWebBackendEventBus', [], (_global, require, _import, _module, exports) => {
  const EventEmitter = require('WAWebEventEmitter');

  exports.BackendEvent = {
    LOGOUT: 'logout',
    REFRESH_QR: 'refresh_qr',
    STARTING_LOGOUT: 'starting_logout',
    STORAGE_INITIALIZATION_ERROR: 'storage_initialization_error',
    SOCKET_STREAM_DISCONNECTED: 'socket_stream_disconnected',
    OPEN_SOCKET_STREAM: 'open_socket_stream',
    SET_SOCKET_STATE: 'set_socket_state',
    MAIN_STREAM_MODE_READY: 'main_stream_mode_ready',
    OFFLINE_DELIVERY_END: 'offline_delivery_end',
  };
  exports.BackendEventBus = new EventEmitter();
});
