// What the page keeps in IndexedDB of the browser's profile: the login, chats, people, messages, what it has not sent
// yet, and the numbers of the items that it has.
//
// Out: PageStorage. A write has happened when its promise resolves (the transaction is complete).
// Records: message `{key, id, chat, from, to, author, from_me, type, body, t, name, quoted, mentions, ack, order}`
// where `order` rises with arrival; chat `{id, lid, name, pushname, unread, group, participants, t}`; unsent `{order,
// record}`.
// Must not know models or the server.
//
// Sources: WhatsApp Web keeps its models in the IndexedDB `model-storage` (whatsapp-web.js, wa-js src/indexdb); that
// what it has not sent is kept there too and sent by itself after a reload is assumed. The shape is our own.
'use strict';

__d('PageStorage', [], (_global, _require, _import, _module, exports) => {
  const STORES = ['login', 'chats', 'contacts', 'messages', 'unsent', 'items'];
  // Numbers of items are forgotten when this many newer ones are there; the server sends in order.
  const ITEMS_KEPT = 2000;
  // The most writes that share a transaction. More wait: as many as the server and the library have under way.
  const BATCH = 64;

  let database = null;
  let lastOrder = 0;

  const result = (request) =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });

  exports.open = async () => {
    const request = indexedDB.open('model-storage', 1);
    request.onupgradeneeded = () => {
      const db = request.result;
      db.createObjectStore('login');
      db.createObjectStore('chats', { keyPath: 'id' });
      db.createObjectStore('contacts', { keyPath: 'id' });
      const messages = db.createObjectStore('messages', { keyPath: 'key' });
      messages.createIndex('chat', ['chat', 'order']);
      messages.createIndex('id', 'id');
      db.createObjectStore('unsent', { keyPath: 'order' });
      db.createObjectStore('items', { keyPath: 'n' });
    };
    database = await result(request);
  };

  const waiting = [];
  let working = false;

  /**
   * Runs `work(stores, result)` within a transaction and resolves when that is complete. Works that wait share one;
   * when one of them fails they run again, each in its own, so that a work may run twice.
   */
  exports.write = (work) =>
    new Promise((resolve, reject) => {
      waiting.push({ work, resolve, reject });
      if (!working) void writeWaiting();
    });

  async function writeWaiting() {
    working = true;
    while (waiting.length) {
      const batch = waiting.splice(0, BATCH);
      try {
        await commit(batch);
      } catch {
        for (const each of batch) await commit([each]).catch(each.reject);
      }
    }
    working = false;
  }

  async function commit(batch) {
    const transaction = database.transaction(STORES, 'readwrite');
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
    });
    done.catch(() => {}); // an error of a work says more
    const stores = Object.fromEntries(STORES.map((name) => [name, transaction.objectStore(name)]));
    const values = [];
    try {
      for (const { work } of batch) values.push(await work(stores, result));
    } catch (error) {
      transaction.abort();
      throw error;
    }
    await done;
    batch.forEach(({ resolve }, index) => resolve(values[index]));
  }

  const read = (name) => database.transaction(name).objectStore(name);

  /** A number above all that were given before, also by earlier documents of the profile. */
  exports.nextOrder = () => {
    lastOrder = Math.max(lastOrder + 1, Date.now() * 1000);
    return lastOrder;
  };

  exports.login = () => result(read('login').get('device'));
  exports.chats = () => result(read('chats').getAll());
  exports.contacts = () => result(read('contacts').getAll());
  exports.unsent = () => result(read('unsent').getAll());
  exports.message = (key) => result(read('messages').get(key));

  /** Up to `count` messages of a chat before or after a record (or from the end), oldest first. */
  exports.messagesOf = (chat, { before, after, count }) =>
    new Promise((resolve, reject) => {
      const found = [];
      const range = IDBKeyRange.bound(
        [chat, after ?? -1],
        [chat, before ?? Infinity],
        after !== undefined,
        before !== undefined,
      );
      const forward = after !== undefined;
      const request = read('messages')
        .index('chat')
        .openCursor(range, forward ? 'next' : 'prev');
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const cursor = request.result;
        if (cursor && found.length < count) {
          lastOrder = Math.max(lastOrder, cursor.value.order); // a clock that was set back must not mix the order
          found.push(cursor.value);
          cursor.continue();
        } else {
          resolve(forward ? found : found.reverse());
        }
      };
    });

  /** Notes within a transaction that the item `n` is here; false when it was here before. */
  exports.noteItem = async (stores, n) => {
    if (await result(stores.items.get(n))) return false;
    stores.items.put({ n });
    if (n > ITEMS_KEPT) stores.items.delete(n - ITEMS_KEPT);
    return true;
  };

  /** Raises the ack of messages by their raw ids within a transaction; -1 only for one that is not sent. */
  exports.raiseAck = async (stores, ids, ack) => {
    for (const id of ids) {
      for (const record of await result(stores.messages.index('id').getAll(id))) {
        if (record.from_me && (ack > record.ack || (ack < 0 && record.ack <= 0))) {
          stores.messages.put({ ...record, ack });
        }
      }
    }
  };

  /** Empties all stores: the profile is as new. */
  exports.clear = () =>
    exports.write(async (stores) => {
      for (const store of Object.values(stores)) store.clear();
    });
});
