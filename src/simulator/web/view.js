// What a person sees: the code to scan, or the list of chats and the messages of the one that changed last.
//
// In: changes of the models. Out: PageView, which fills #app.
// Must not write HTML from text (trusted types), and must not draw more often than every DRAW_MS.
//
// Sources: the parts of the real page (code with `data-ref`, list at the left, bubbles at the right, bar when it is not
// connected) are known of it (`data-ref`: whatsapp-web.js); how they look is our own.
'use strict';

__d('PageView', [], (_global, require, importNamespace, _module, exports) => {
  const { Conn } = importNamespace('WAWebConnModel');
  const { Stream } = importNamespace('WAWebStreamModel');
  const { Socket } = importNamespace('WAWebSocketModel');
  const { ChatCollection } = importNamespace('WAWebChatCollection');
  const { MsgCollection } = importNamespace('WAWebMsgCollection');

  // Drawing is the dearest thing that this page does; a person sees no difference.
  const DRAW_MS = 250;
  const CHATS_SHOWN = 30;
  const MESSAGES_SHOWN = 20;
  const TICKS = { '-1': '⚠', 0: '🕓', 1: '✓', 2: '✓✓', 3: '✓✓ read' };

  // Made once: a formatter takes longer to make than a bubble.
  const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' });

  let timer = null;
  let shown = null;

  exports.start = () => {
    for (const model of [Conn, Stream, Socket, ChatCollection, MsgCollection]) {
      model.on('change add remove reset', soon);
    }
    MsgCollection.on('add', (msg) => {
      if (msg.isNewMsg) shown = msg.id.remote;
    });
    soon();
  };

  function soon() {
    // A timer, not a frame: a tab in the background has no frames.
    timer ??= setTimeout(() => {
      timer = null;
      void draw();
    }, DRAW_MS);
  }

  async function draw() {
    const isMain = ['MAIN', 'OFFLINE'].includes(Stream.mode);
    const body = isMain ? main() : Stream.mode === 'QR' ? await code() : notice();
    document.getElementById('app').replaceChildren(body);
  }

  function element(name, className, ...children) {
    const node = document.createElement(name);
    node.className = className;
    node.append(...children);
    return node;
  }

  async function code() {
    const text = await codeText();
    const box = element('div', 'code', text ? '' : Socket.state === 'UNPAIRED_IDLE' ? 'Reload the code' : 'Loading');
    if (text) {
      box.dataset.ref = text;
      box.append(pattern(text));
    }
    return element(
      'div',
      'landing',
      element('h1', '', 'Link this page'),
      element('p', '', 'Open the phones page of the simulator, choose a phone and scan this code.'),
      box,
      element('p', 'code-text', text ?? ''),
    );
  }

  /** The text that a phone reads from the code, made as wa-js makes it. */
  async function codeText() {
    if (!Conn.ref) return null;
    const { encodeB64 } = importNamespace('WABase64');
    const noise = await importNamespace('WAWebUserPrefsInfoStore').waNoiseInfo.get();
    const registration = await importNamespace('WAWebSignalStoreApi').waSignalStore.getRegistrationInfo();
    const secret = importNamespace('WAWebUserPrefsMultiDevice').getADVSecretKey();
    return [
      Conn.ref,
      encodeB64(noise.staticKeyPair.pubKey),
      encodeB64(registration.identityKeyPair.pubKey),
      secret,
    ].join(',');
  }

  /** A field of squares that stands for the code. It is no QR code: phones of the simulator read the text. */
  function pattern(text) {
    const size = 29;
    const cell = 8;
    const canvas = element('canvas', '');
    canvas.width = canvas.height = size * cell;
    const context = canvas.getContext('2d');
    let seed = 7;
    for (let index = 0; index < size * size; index += 1) {
      seed = (seed * 31 + text.charCodeAt(index % text.length)) % 65_521;
      if (seed % 2) context.fillRect((index % size) * cell, Math.floor(index / size) * cell, cell, cell);
    }
    return canvas;
  }

  function notice() {
    const texts = {
      SYNCING: 'Loading your chats',
      CONFLICT: 'WhatsApp is open in another window',
      DEPRECATED_VERSION: 'Update WhatsApp',
      TOS_BLOCK: 'Your account may not use WhatsApp',
    };
    return element('div', 'landing', element('h1', '', texts[Stream.mode] ?? Stream.mode ?? 'Loading'));
  }

  function main() {
    const chats = ChatCollection.slice(0, CHATS_SHOWN);
    const open = ChatCollection.get(shown) ?? chats[0];
    const list = element('div', 'chats', ...chats.map((chat) => line(chat, chat === open)));
    list.id = 'pane-side';
    const page = element('div', 'main', list, open ? conversation(open) : element('div', 'conversation'));
    if (Stream.info !== 'NORMAL') page.prepend(element('div', 'bar', `Connecting (${Stream.info})`));
    return page;
  }

  function line(chat, isOpen) {
    const last = chat.msgs.get(chat.lastReceivedKey);
    const node = element(
      'div',
      isOpen ? 'chat open' : 'chat',
      element('div', 'chat-name', chat.formattedTitle),
      element('div', 'chat-last', last ? words(last) : ''),
    );
    if (chat.unreadCount) node.append(element('span', 'unread', String(Math.max(chat.unreadCount, 1))));
    return node;
  }

  function conversation(chat) {
    const messages = chat.msgs
      .toArray()
      .sort((a, b) => a.order - b.order)
      .slice(-MESSAGES_SHOWN);
    return element(
      'div',
      'conversation',
      element('header', '', chat.formattedTitle),
      element('div', 'messages', ...messages.map(bubble)),
    );
  }

  /** A file is shown by its kind and its text: this page makes no pictures. */
  function words(msg) {
    if (msg.type === 'ciphertext') return 'Waiting for this message';
    if (msg.type === 'revoked') return 'This message was deleted';
    if (msg.mediaData) return `[${msg.filename ?? msg.type}] ${msg.caption ?? ''}`;
    return msg.body ?? '';
  }

  function bubble(msg) {
    const time = clock.format(msg.t * 1000);
    const node = element('div', msg.id.fromMe ? 'bubble out' : 'bubble');
    node.dataset.id = String(msg.id);
    if (!msg.id.fromMe && msg.author) node.append(element('div', 'author', msg.notifyName || msg.author.user));
    if (msg.quotedMsg) node.append(element('blockquote', '', msg.quotedMsg.body ?? ''));
    node.append(element('span', 'text', words(msg)));
    const given = Object.values(msg.reactions ?? {});
    if (given.length) node.append(element('span', 'reactions', given.join(' ')));
    node.append(element('span', 'meta', `${time} ${msg.id.fromMe ? (TICKS[msg.ack] ?? '') : ''}`));
    return node;
  }
});
