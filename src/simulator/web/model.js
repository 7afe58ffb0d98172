// The base of all models: named attributes with accessors, and a `change:NAME` event for each change.
//
// Out: WAWebBaseModel (BaseModel, defineModel).
// Must not throw when an accessor is read on a prototype: wa-js probes `typeof Model.prototype[name]`.
//
// Sources: wa-js src/whatsapp/models/Model.ts (found by `defineModel`; attributes, get, set, unset, proxyName);
// arguments of `change:NAME` are model, value, previous value (chat/events/registerUnreadCountEvent.ts).
'use strict';

__d('WAWebBaseModel', [], (_global, require, _import, _module, exports) => {
  const EventEmitter = require('WAWebEventEmitter');

  class BaseModel extends EventEmitter {
    constructor(attributes = {}, options = {}) {
      super();
      this.attributes = {};
      this.collection = options.collection;
      this.parent = options.parent;
      this.isState = true;
      for (const [name, value] of Object.entries(attributes)) {
        this._store(name, value);
      }
      this.initialize();
    }

    initialize() {}

    get(name) {
      return this.attributes[name];
    }

    set(names, value, options = {}) {
      const [values, settings] = typeof names === 'object' ? [names, value ?? {}] : [{ [names]: value }, options];
      const changed = [];
      for (const [name, next] of Object.entries(values)) {
        const previous = this.attributes[name];
        if (previous !== next) {
          this._store(name, next);
          changed.push([name, next, previous]);
        }
      }
      if (!settings.silent && changed.length) {
        for (const [name, next, previous] of changed) {
          this.trigger(`change:${name}`, this, next, previous);
        }
        this.trigger('change', this);
      }
      return this;
    }

    unset(names) {
      for (const name of [names].flat()) this.set(String(name), undefined);
    }

    serialize() {
      return { ...this.attributes };
    }

    toJSON() {
      return this.serialize();
    }

    _store(name, value) {
      if (!(name in this)) defineAccessor(Object.getPrototypeOf(this), name);
      this.attributes[name] = value;
    }
  }

  /** Lets `model.name` read and write the attribute. Configurable, because wa-js puts accessors of its own there. */
  function defineAccessor(prototype, name) {
    Object.defineProperty(prototype, name, {
      configurable: true,
      enumerable: true,
      get() {
        return this.attributes?.[name];
      },
      set(value) {
        this.set(name, value);
      },
    });
  }

  /** Finishes a model class: the name that wa-js knows it by, and its attributes. */
  function defineModel(modelClass, proxyName, names) {
    modelClass.prototype.proxyName = proxyName;
    for (const name of names) defineAccessor(modelClass.prototype, name);
    return modelClass;
  }

  exports.BaseModel = BaseModel;
  exports.defineModel = defineModel;
});
