// A phone on the page: its devices, its chats, and the chat that is open.
//
// In: a phone of the state and the messages of its open chat. Out: elements; what a person does goes to the control API.
// Must not ask for the state itself.

import { carried, clock, day, drawing, face, make, reactions, tick, tint, when, words } from './elements.js';
import { act, ask, live, nameOf, open, show } from './live.js';

/** A phone. What a person types into is made once and kept; the rest is made anew when it has changed. */
export class Card {
  /** `scan` opens the dialog that links a page to the phone. */
  constructor(number, scan) {
    this.number = number;
    this.scan = scan;
    this.answering = undefined;
    this.header = make('header');
    this.strip = make('div', { className: 'strip' });
    this.chats = make('ul', { className: 'chats' });
    this.people = make('div', { className: 'people' });
    this.wall = make('ol', { className: 'wall', ariaLive: 'polite' });
    this.quote = make('div', { className: 'answering', hidden: true });
    this.text = make('textarea', {
      rows: 1,
      placeholder: 'Message',
      ariaLabel: 'Message',
      on: { keydown: (event) => this.key(event) },
    });
    const send = make(
      'button',
      { title: 'Send', ariaLabel: 'Send' },
      drawing('0 0 24 24', 'M3 20.5v-7l9-1.5-9-1.5V3.5l18.5 8.5z'),
    );
    this.file = make('input', {
      type: 'file',
      ariaLabel: 'Send a file',
      on: { change: () => this.attach(this.file.files[0]) },
    });
    const attach = make(
      'label',
      { className: 'attach', title: 'Send a file' },
      drawing('0 0 24 24', 'M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.5 3.5 0 0 1 5 5l-8.5 8.5a2 2 0 0 1-3-3L14 7'),
      this.file,
    );
    this.writer = make(
      'form',
      { className: 'writer', on: { submit: (event) => this.send(event) } },
      attach,
      this.text,
      send,
    );
    this.root = make(
      'section',
      { className: 'phone', ariaLabel: `Phone ${number}` },
      this.header,
      this.strip,
      this.chats,
      this.people,
      this.wall,
      this.quote,
      this.writer,
    );
    this.root.dataset.number = number;
    this.drawn = new Map();
  }

  /** Runs `draw` if `what` is not what was drawn last. */
  once(part, what, draw) {
    const key = JSON.stringify(what);
    if (this.drawn.get(part) === key) return;
    this.drawn.set(part, key);
    draw();
  }

  draw(phone, log) {
    this.phone = phone;
    const chat = open.get(this.number);
    const inside = chat !== undefined;
    this.root.classList.toggle('offline', !phone.online);
    for (const part of [this.strip, this.chats, this.people]) part.hidden = inside;
    for (const part of [this.wall, this.writer]) part.hidden = !inside;
    this.text.disabled = !phone.online;
    const title = inside ? nameOf(chat, phone) : phone.name;
    const typing = phone.chats.find((one) => one.id === chat)?.typing;
    this.once('header', [title, chat, phone.online, typing], () => this.drawHeader(title, chat, phone));
    this.drawQuote();
    if (inside) {
      this.once('wall', [chat, log], () => this.drawWall(chat, log ?? []));
      this.look(chat);
    } else {
      this.drawn.delete('wall');
      this.once('strip', [phone.devices, phone.online], () => this.drawStrip(phone));
      this.once('chats', phone.chats, () => this.drawChats(phone));
      this.drawPeople(phone);
    }
  }

  drawHeader(title, chat, phone) {
    if (chat === undefined) {
      const network = make(
        'button',
        {
          type: 'button',
          title: phone.online ? 'Take its network away' : 'Give its network back',
          ariaPressed: String(!phone.online),
          on: { click: () => act(() => ask('PATCH', `/phones/${this.number}`, { online: !this.phone.online })) },
        },
        phone.online ? 'Online' : 'Offline',
      );
      this.header.replaceChildren(
        face(phone.name, phone.number),
        make('div', { className: 'who' }, make('strong', {}, title), make('small', {}, `+${phone.number}`)),
        network,
      );
      return;
    }
    const back = make(
      'button',
      {
        type: 'button',
        className: 'back',
        title: 'Back to the chats',
        ariaLabel: 'Back to the chats',
        on: { click: () => this.show(undefined) },
      },
      '‹',
    );
    const group = live.groups.find((one) => one.id === chat);
    const typing = phone.chats.find((one) => one.id === chat)?.typing;
    const below = typing
      ? 'typing…'
      : group
      ? group.members.map((number) => nameOf(`${number}@c.us`, this.phone)).join(', ')
      : `on ${phone.name}'s phone`;
    this.header.replaceChildren(
      back,
      face(title, chat.split('@')[0], Boolean(group)),
      make('div', { className: 'who' }, make('strong', {}, title), make('small', {}, below)),
    );
  }

  drawStrip(phone) {
    const here = phone.devices.filter((device) => device.connected).length;
    const words =
      phone.devices.length === 0
        ? 'No linked device'
        : `${phone.devices.length} device${phone.devices.length > 1 ? 's' : ''}, ${here === phone.devices.length ? 'connected' : `${here} connected`}`;
    const look = phone.devices.length === 0 ? 'dot' : here === phone.devices.length ? 'dot on' : 'dot half';
    const unlink =
      phone.devices.length === 0
        ? null
        : make(
            'button',
            {
              type: 'button',
              className: 'quiet',
              on: { click: () => act(() => ask('DELETE', `/phones/${this.number}/devices`)) },
            },
            'Unlink',
          );
    const scan = make(
      'button',
      { type: 'button', disabled: !phone.online, on: { click: () => this.scan(this.number) } },
      'Scan',
    );
    this.strip.replaceChildren(
      ...[make('span', { className: 'state' }, make('span', { className: look }), words), unlink, scan].filter(Boolean),
    );
  }

  drawChats(phone) {
    const rows = phone.chats.map((chat) => {
      const last = chat.last;
      const author = last && chat.group && !last.from_me ? `${last.name}: ` : '';
      const text = make(
        'div',
        { className: 'text' },
        make('span', {}, make('span', { className: 'name' }, chat.name)),
        make(
          'span',
          {},
          last?.from_me ? tick(last.ack) : null,
          make('span', { className: 'last' }, chat.typing ? 'typing…' : last ? author + words(last) : 'no message yet'),
        ),
      );
      const side = make(
        'div',
        { className: 'side' },
        make('span', {}, chat.timestamp ? when(chat.timestamp) : ''),
        chat.unread
          ? make('span', { className: 'count', ariaLabel: `${chat.unread} unread` }, String(chat.unread))
          : null,
      );
      const row = make(
        'button',
        { type: 'button', on: { click: () => this.show(chat.id) } },
        face(chat.name, chat.id.split('@')[0], chat.group),
        text,
        side,
      );
      return make('li', {}, row);
    });
    this.chats.replaceChildren(
      ...(rows.length
        ? rows
        : [make('li', { className: 'empty' }, 'No chats yet. Write to somebody below, or link a page with Scan.')]),
    );
  }

  drawPeople(phone) {
    const known = new Set(phone.chats.map((chat) => chat.id));
    const others = live.phones.filter((other) => other.number !== phone.number && !known.has(other.wid));
    this.people.hidden = others.length === 0;
    this.once(
      'people',
      others.map((other) => [other.wid, other.name]),
      () => this.drawOthers(others),
    );
  }

  drawOthers(others) {
    const buttons = others.map((other) =>
      make('button', { type: 'button', className: 'quiet', on: { click: () => this.show(other.wid) } }, other.name),
    );
    this.people.replaceChildren(make('small', {}, 'Write to'), make('div', {}, ...buttons));
  }

  drawWall(chat, log) {
    const group = chat.endsWith('@g.us');
    const wall = this.wall;
    const atEnd = wall.scrollHeight - wall.scrollTop - wall.clientHeight < 40;
    let shown = '';
    const rows = [];
    for (const message of log) {
      if (day(message.timestamp) !== shown) {
        shown = day(message.timestamp);
        rows.push(make('li', { className: 'day' }, shown));
      }
      rows.push(this.bubble(message, group));
    }
    wall.replaceChildren(...rows);
    if (atEnd || this.wallOf !== chat) wall.scrollTop = wall.scrollHeight;
    this.wallOf = chat;
  }

  bubble(message, group) {
    const author =
      group && !message.from_me
        ? tint(make('span', { className: 'author' }, message.name), message.author ?? '')
        : null;
    const quote = message.quoted ? make('span', { className: 'quote' }, message.quoted.body || 'a message') : null;
    const answer = make(
      'button',
      {
        type: 'button',
        className: 'answer',
        title: 'Answer this message',
        on: {
          click: () => {
            this.answering = message;
            this.drawQuote();
            this.text.focus();
          },
        },
      },
      'answer',
    );
    const foot = make(
      'span',
      { className: 'foot' },
      answer,
      message.edited ? 'edited ' : null,
      clock(message.timestamp),
      message.from_me ? tick(message.ack) : null,
    );
    const bubble = make(
      'li',
      { className: message.from_me ? 'bubble mine' : 'bubble' },
      author,
      quote,
      carried(message),
      message.media ? message.text : words(message),
      foot,
      reactions(message),
    );
    bubble.dataset.id = message.id;
    return bubble;
  }

  drawQuote() {
    const message = this.answering;
    this.quote.hidden = !message || !open.has(this.number);
    if (!message) return;
    const drop = make(
      'button',
      {
        type: 'button',
        title: 'Do not answer it',
        ariaLabel: 'Do not answer it',
        on: {
          click: () => {
            this.answering = undefined;
            this.drawQuote();
          },
        },
      },
      '×',
    );
    this.quote.replaceChildren(make('span', {}, words(message)), drop);
  }

  show(chat) {
    this.answering = undefined;
    show(this.number, chat).then(() => chat !== undefined && this.text.focus());
  }

  /** Who has a chat open and the page before them has read what is in it. */
  look(chat) {
    const unread = this.phone.chats.find((one) => one.id === chat)?.unread ?? 0;
    if (unread && this.phone.online && document.visibilityState === 'visible') {
      act(() => ask('POST', `/phones/${this.number}/read`, { chat }));
    }
  }

  key(event) {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.send(event);
  }

  /** A file goes with what stands in the box as its text. */
  attach(file) {
    if (!file) return;
    act(async () => {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const pieces = [];
      for (let at = 0; at < bytes.length; at += 32768) pieces.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
      const mimetype = file.type || 'application/octet-stream';
      await this.write({ data: btoa(pieces.join('')), mimetype, filename: file.name });
      this.file.value = '';
    });
  }

  send(event) {
    event.preventDefault();
    if (this.text.value.trim()) act(() => this.write());
  }

  /** Sends what stands in the box, with a file if there is one. */
  async write(media) {
    const text = this.text.value.trim();
    const chat = open.get(this.number);
    if (chat === undefined) return;
    const quote = this.answering?.id;
    await ask('POST', `/phones/${this.number}/messages`, { to: chat, text, quote, media });
    this.text.value = '';
    this.answering = undefined;
    this.wall.scrollTop = this.wall.scrollHeight;
  }
}
