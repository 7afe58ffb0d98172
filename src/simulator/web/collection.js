// Lists of models, found by id, that pass on the events of their models.
//
// Out: WAWebCollection (default), WAWebBaseCollection (BaseCollection).
// Must keep one class for each store that is a default export: wa-js tells them apart by `instanceof`.
//
// Sources: wa-js src/whatsapp/collections/Collection.ts (found by the text 'Collection initialized without model')
// and BaseCollection.ts.
'use strict';

__d('WAWebCollection', [], (_global, require, _import, _module, exports) => {
  const EventEmitter = require('WAWebEventEmitter');

  class Collection extends EventEmitter {
    constructor(_models, options = {}) {
      super();
      if (!this.constructor.model) {
        throw new Error('Collection initialized without model');
      }
      this.modelClass = this.constructor.model;
      this.parent = options.parent;
      this._models = [];
      this._index = Object.create(null);
    }

    get length() {
      return this._models.length;
    }

    /** Adds one or many, as models or as attributes. One that is there stays, merged only with `merge`. */
    add(values, options = {}) {
      const added = [values].flat().map((value) => this._addOne(value, options));
      return Array.isArray(values) ? added : added[0];
    }

    _addOne(value, options) {
      const known = this.get(value);
      if (known) {
        if (options.merge) known.set(this.isModel(value) ? value.attributes : value);
        return known;
      }
      const model = this.isModel(value) ? value : new this.modelClass(value, { collection: this });
      this._models.push(model);
      this._index[String(model.id)] = model;
      model.on('all', this._pass, this);
      if (this.constructor.comparator) this.sort({ silent: true });
      if (!options.silent) this.trigger('add', model, this, options);
      return model;
    }

    _pass(name, ...args) {
      this.trigger(name, ...args);
    }

    remove(values, options = {}) {
      const removed = [];
      for (const value of [values].flat()) {
        const model = this.get(value);
        if (!model) continue;
        this._models.splice(this._models.indexOf(model), 1);
        delete this._index[String(model.id)];
        model.off('all', this._pass, this);
        removed.push(model);
        if (!options.silent) this.trigger('remove', model, this, options);
      }
      return removed;
    }

    reset() {
      for (const model of this._models) model.off('all', this._pass, this);
      this._models = [];
      this._index = Object.create(null);
      this.trigger('reset', this);
    }

    /** By id, by id object (Wid, MsgKey), by model or by attributes. */
    get(value) {
      if (value === undefined || value === null) return undefined;
      const isHolder = this.isModel(value) || Object.getPrototypeOf(value) === Object.prototype;
      return this._index[String(isHolder ? value.id : value)];
    }

    assertGet(value) {
      const model = this.get(value);
      if (!model) throw new Error(`no model ${String(value)}`);
      return model;
    }

    isModel(value) {
      return value instanceof this.modelClass;
    }

    sort(options = {}) {
      const { comparator } = this.constructor;
      if (comparator) this._models.sort(comparator);
      if (!options.silent) this.trigger('sort', this);
      return this;
    }

    at(position) {
      return this._models.at(position);
    }

    head() {
      return this._models[0];
    }

    last() {
      return this._models.at(-1);
    }

    getModelsArray() {
      return this._models;
    }

    toArray() {
      return this._models.slice();
    }

    findFirst(test) {
      return this._models.find(test);
    }

    where(values) {
      return this._models.filter((model) => Object.entries(values).every(([name, value]) => model[name] === value));
    }

    includes(model) {
      return this._models.includes(model);
    }

    serialize() {
      return this._models.map((model) => model.serialize());
    }

    toJSON() {
      return this.serialize();
    }
  }

  for (const name of ['indexOf', 'lastIndexOf', 'every', 'some', 'forEach', 'map', 'filter', 'reduce', 'slice']) {
    Collection.prototype[name] = function (...args) {
      return this._models[name](...args);
    };
  }

  exports.default = Collection;
});

__d('WAWebBaseCollection', [], (_global, require, _import, _module, exports) => {
  const Collection = require('WAWebCollection');

  class BaseCollection extends Collection {
    /** The model of this id, asked for where it is not there. */
    async find(id) {
      return this.get(id) ?? this.findQuery(id);
    }

    async findQuery() {
      return undefined;
    }

    async update(id) {
      return this.find(id);
    }

    gadd(id, options) {
      return this.get(id) ?? this.add({ id }, options);
    }
  }

  exports.BaseCollection = BaseCollection;
});
