// The module registry of the page: `__d` defines a module, `require` and `importNamespace` read one.
//
// In: calls of `__d(id, dependencies, factory)` by all other scripts. Out: the globals that WhatsApp's own loader puts
// on `window`: `__d`, `require`, `importNamespace`, `ErrorGuard`, and the module `__debug` with its `modulesMap`.
// Must not know what a module does.
//
// Sources: the loader of wa-js 4.6 (src/loader/index.ts): it waits for `__d` and `require`, counts
// `require('__debug').modulesMap`, reads modules by `importNamespace` only and calls `ErrorGuard.skipGuardGlobal(true)`
// before each read. whatsapp-web.js: `require(id)` of a module with only a default export gives that export.
'use strict';

(() => {
  const modulesMap = Object.create(null);

  /** Registers a module; the first definition of an id counts. Dependencies are read when a factory runs. */
  function define(id, _dependencies, factory) {
    if (!(id in modulesMap)) {
      modulesMap[id] = { id, factory, exports: null, namespace: null };
    }
  }

  /** Runs the factory of a module once. A factory that throws runs again at the next read. */
  function load(id) {
    const entry = modulesMap[id];
    if (!entry) {
      throw new Error(`Requiring unknown module "${id}".`);
    }
    if (entry.exports === null) {
      const module = { exports: {} };
      const esExports = module.exports;
      entry.exports = esExports; // a circular read sees what is there so far
      try {
        entry.factory(window, require, importNamespace, module, esExports);
      } catch (error) {
        entry.exports = null;
        throw error;
      }
      entry.exports = module.exports;
      entry.namespace = module.exports === esExports ? esExports : { default: module.exports };
      // source: envjson of the real shell, `clear_js_factory_after_used: true`
      entry.factory = null;
    }
    return entry;
  }

  /** The same mutable object at each call: wa-js replaces functions on it, and the page itself must then call those. */
  function importNamespace(id) {
    const entry = load(id);
    return entry.namespace ?? entry.exports;
  }

  function require(id) {
    const { exports } = load(id);
    const keys = Object.keys(exports);
    return keys.length === 1 && keys[0] === 'default' ? exports.default : exports;
  }

  define('__debug', [], (_global, _require, _import, module) => {
    module.exports = { modulesMap };
  });

  window.importNamespace = importNamespace;
  window.ErrorGuard = {
    skipGuardGlobal() {},
    applyWithGuard: (callback, context, args) => callback.apply(context, args),
  };
  // Last, because wa-js starts at the moment when both of these are there.
  window.__d = define;
  window.require = require;
})();
