// The page for people: shows every phone of the simulator and lets a person write on it.
//
// In: the control API (state, messages, and a stream that tells of changes). Out: what people do, to the same API. Must not
// build markup from text: messages are anybody's, and trusted types forbid it.

const $ = (id) => document.getElementById(id);

/** The last state, and by number: the open chat, the message that is being answered, the messages of the open chat. */
let state = { phones: [], groups: [], waiting: [] };
const open = new Map(Object.entries(JSON.parse(sessionStorage.getItem('open') ?? '{}')));
const answering = new Map();
const cards = new Map();
let ahead = 0; // how far this clock is ahead of the server's, ms

// ---- asking -------------------------------------------------------------------------------------------------------------

async function ask(method, path, body) {
  const response = await fetch(`/control${path}`, { method, body: body && JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error ?? `the simulator answered ${response.status}`);
  return answer;
}

let asking = false;
let again = false;

/** Asks for everything that is shown, once at a time; what changes meanwhile is asked for right after. */
async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    do {
      again = false;
      state = await ask('GET', '/state');
      ahead = Date.now() - state.now;
      const shown = state.phones.filter((phone) => open.has(phone.number));
      const logs = await Promise.all(shown.map((phone) => messages(phone.number, open.get(phone.number))));
      draw(new Map(shown.map((phone, at) => [phone.number, logs[at]])));
      trouble('');
    } while (again);
  } catch (error) {
    trouble(`The simulator does not answer (${error.message}).`);
    setTimeout(refresh, 2000);
  } finally {
    asking = false;
  }
}

const messages = (number, chat) => ask('GET', `/phones/${number}/messages?limit=300&chat=${encodeURIComponent(chat)}`);

function trouble(text) {
  $('trouble').textContent = text;
  $('trouble').hidden = !text;
}

// ---- making elements ----------------------------------------------------------------------------------------------------

function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  const { on, data, ...rest } = props;
  Object.assign(element, rest);
  for (const [name, listener] of Object.entries(on ?? {})) element.addEventListener(name, listener);
  for (const [name, value] of Object.entries(data ?? {})) element.dataset[name] = value;
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ''));
  return element;
}

function drawing(box, ...paths) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', box);
  svg.setAttribute('aria-hidden', 'true');
  for (const d of paths) {
    const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

/** One tick: the server has it; two: delivered; two in colour: read. */
function tick(ack) {
  const paths = ack > 1 ? ['M1 6l3 3 6-7', 'M7 9l6-7'] : ['M4 6l3 3 6-7'];
  const words = ['waiting', 'sent', 'delivered', 'read'][Math.min(ack, 3)];
  return make('span', { className: ack > 2 ? 'tick read' : 'tick', title: words, ariaLabel: words, role: 'img' }, drawing('0 0 16 11', ...paths));
}

const hue = (text) => [...text].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7);

function tint(element, text) {
  element.style.setProperty('--hue', hue(text));
  return element;
}

function face(name, id, group) {
  const letters = name.split(/\s+/).filter(Boolean).slice(0, 2).map((word) => [...word][0]).join('').toUpperCase();
  return tint(make('span', { className: group ? 'face group' : 'face', ariaHidden: 'true' }, letters), id);
}

const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
const day = (ms) => new Date(ms).toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short' });
const when = (ms) => (day(ms) === day(Date.now()) ? clock(ms) : day(ms));

// ---- drawing ------------------------------------------------------------------------------------------------------------

function draw(logs) {
  $('nobody').hidden = state.phones.length > 0;
  const count = state.waiting.length;
  $('waiting').textContent = count ? `${count === 1 ? 'A page waits' : `${count} pages wait`} to be linked: scan on a phone` : '';
  for (const [number, card] of cards) {
    if (!state.phones.some((phone) => phone.number === number)) {
      card.root.remove();
      cards.delete(number);
    }
  }
  for (const phone of state.phones) {
    if (!cards.has(phone.number)) {
      const card = new Card(phone.number);
      cards.set(phone.number, card);
      $('phones').append(card.root);
    }
    cards.get(phone.number).draw(phone, logs.get(phone.number));
  }
  if ($('scan-dialog').open) drawCodes();
}

/** A phone. What a person types into is made once and kept; the rest is made anew when it has changed. */
class Card {
  constructor(number) {
    this.number = number;
    this.header = make('header');
    this.strip = make('div', { className: 'strip' });
    this.chats = make('ul', { className: 'chats' });
    this.people = make('div', { className: 'people' });
    this.wall = make('ol', { className: 'wall', ariaLive: 'polite' });
    this.quote = make('div', { className: 'answering', hidden: true });
    this.text = make('textarea', { rows: 1, placeholder: 'Message', ariaLabel: 'Message', on: { keydown: (event) => this.key(event) } });
    const send = make('button', { title: 'Send', ariaLabel: 'Send' }, drawing('0 0 24 24', 'M3 20.5v-7l9-1.5-9-1.5V3.5l18.5 8.5z'));
    this.writer = make('form', { className: 'writer', on: { submit: (event) => this.send(event) } }, this.text, send);
    this.root = make('section', { className: 'phone', ariaLabel: `Phone ${number}` },
      this.header, this.strip, this.chats, this.people, this.wall, this.quote, this.writer);
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
    this.once('header', [title, chat, phone.online], () => this.drawHeader(title, chat, phone));
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
      const network = make('button', {
        type: 'button', title: phone.online ? 'Take its network away' : 'Give its network back', ariaPressed: String(!phone.online),
        on: { click: () => act(() => ask('PATCH', `/phones/${this.number}`, { online: !this.phone.online })) },
      }, phone.online ? 'Online' : 'Offline');
      this.header.replaceChildren(face(phone.name, phone.number), make('div', { className: 'who' }, make('strong', {}, title), make('small', {}, `+${phone.number}`)), network);
      return;
    }
    const back = make('button', { type: 'button', className: 'back', title: 'Back to the chats', ariaLabel: 'Back to the chats', on: { click: () => this.show(undefined) } }, '‹');
    const group = state.groups.find((one) => one.id === chat);
    const below = group ? group.members.map((number) => nameOf(`${number}@c.us`, this.phone)).join(', ') : `on ${phone.name}'s phone`;
    this.header.replaceChildren(back, face(title, chat.split('@')[0], Boolean(group)), make('div', { className: 'who' }, make('strong', {}, title), make('small', {}, below)));
  }

  drawStrip(phone) {
    const here = phone.devices.filter((device) => device.connected).length;
    const words = phone.devices.length === 0 ? 'No linked device'
      : `${phone.devices.length} device${phone.devices.length > 1 ? 's' : ''}, ${here === phone.devices.length ? 'connected' : `${here} connected`}`;
    const look = phone.devices.length === 0 ? 'dot' : here === phone.devices.length ? 'dot on' : 'dot half';
    const unlink = phone.devices.length === 0 ? null
      : make('button', { type: 'button', className: 'quiet', on: { click: () => act(() => ask('DELETE', `/phones/${this.number}/devices`)) } }, 'Unlink');
    const scan = make('button', { type: 'button', disabled: !phone.online, on: { click: () => askScan(this.number) } }, 'Scan');
    this.strip.replaceChildren(...[make('span', { className: 'state' }, make('span', { className: look }), words), unlink, scan].filter(Boolean));
  }

  drawChats(phone) {
    const rows = phone.chats.map((chat) => {
      const last = chat.last;
      const author = last && chat.group && !last.from_me ? `${last.name}: ` : '';
      const text = make('div', { className: 'text' },
        make('span', {}, make('span', { className: 'name' }, chat.name)),
        make('span', {}, last?.from_me ? tick(last.ack) : null, make('span', { className: 'last' }, last ? author + last.text : 'no message yet')));
      const side = make('div', { className: 'side' }, make('span', {}, chat.timestamp ? when(chat.timestamp) : ''),
        chat.unread ? make('span', { className: 'count', ariaLabel: `${chat.unread} unread` }, String(chat.unread)) : null);
      const row = make('button', { type: 'button', on: { click: () => this.show(chat.id) } }, face(chat.name, chat.id.split('@')[0], chat.group), text, side);
      return make('li', {}, row);
    });
    this.chats.replaceChildren(...(rows.length ? rows : [make('li', { className: 'empty' }, 'No chats yet. Write to somebody below, or link a page with Scan.')]));
  }

  drawPeople(phone) {
    const known = new Set(phone.chats.map((chat) => chat.id));
    const others = state.phones.filter((other) => other.number !== phone.number && !known.has(other.wid));
    this.people.hidden = others.length === 0;
    this.once('people', others.map((other) => [other.wid, other.name]), () => this.drawOthers(others));
  }

  drawOthers(others) {
    const buttons = others.map((other) => make('button', { type: 'button', className: 'quiet', on: { click: () => this.show(other.wid) } }, other.name));
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
    const author = group && !message.from_me ? tint(make('span', { className: 'author' }, message.name), message.author ?? '') : null;
    const quote = message.quoted ? make('span', { className: 'quote' }, message.quoted.body || 'a message') : null;
    const answer = make('button', {
      type: 'button', className: 'answer', title: 'Answer this message',
      on: { click: () => { answering.set(this.number, message); this.drawQuote(); this.text.focus(); } },
    }, 'answer');
    const foot = make('span', { className: 'foot' }, answer, clock(message.timestamp), message.from_me ? tick(message.ack) : null);
    const bubble = make('li', { className: message.from_me ? 'bubble mine' : 'bubble' }, author, quote, message.text || `(${message.type})`, foot);
    bubble.dataset.id = message.id;
    return bubble;
  }

  drawQuote() {
    const message = answering.get(this.number);
    this.quote.hidden = !message || !open.has(this.number);
    if (!message) return;
    const drop = make('button', { type: 'button', title: 'Do not answer it', ariaLabel: 'Do not answer it', on: { click: () => { answering.delete(this.number); this.drawQuote(); } } }, '×');
    this.quote.replaceChildren(make('span', {}, message.text), drop);
  }

  show(chat) {
    if (chat === undefined) open.delete(this.number);
    else open.set(this.number, chat);
    answering.delete(this.number);
    sessionStorage.setItem('open', JSON.stringify(Object.fromEntries(open)));
    refresh().then(() => chat !== undefined && this.text.focus());
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

  send(event) {
    event.preventDefault();
    const text = this.text.value.trim();
    const chat = open.get(this.number);
    if (!text || chat === undefined) return;
    const quote = answering.get(this.number)?.id;
    act(async () => {
      await ask('POST', `/phones/${this.number}/messages`, { to: chat, text, quote });
      this.text.value = '';
      answering.delete(this.number);
      this.wall.scrollTop = this.wall.scrollHeight;
    });
  }
}

function nameOf(id, phone) {
  const group = state.groups.find((one) => one.id === id);
  const other = state.phones.find((one) => one.wid === id);
  if (other && other.number === phone.number) return `${other.name} (you)`;
  return group?.name ?? other?.name ?? id;
}

// ---- acting -------------------------------------------------------------------------------------------------------------

async function act(what) {
  try {
    await what();
    await refresh();
  } catch (error) {
    trouble(error.message);
    setTimeout(() => trouble(''), 4000);
  }
}

/** A dialog whose form is handed to `submit`; what that throws is shown in the dialog. */
function dialog(id, submit) {
  const box = $(id);
  const form = box.querySelector('form');
  const problem = box.querySelector('.problem');
  box.querySelector('[data-close]').addEventListener('click', () => box.close());
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    problem.textContent = '';
    try {
      await submit(new FormData(form));
      box.close();
      await refresh();
    } catch (error) {
      problem.textContent = error.message;
    }
  });
  return () => {
    form.reset();
    problem.textContent = '';
    box.showModal();
  };
}

const askPhone = dialog('phone-dialog', (form) => ask('POST', '/phones', { number: form.get('number'), name: form.get('name') }));
$('new-phone').addEventListener('click', askPhone);
$('first-phone').addEventListener('click', askPhone);

const askGroup = dialog('group-dialog', (form) => ask('POST', '/groups', { name: form.get('name'), members: form.getAll('member') }));
$('new-group').addEventListener('click', () => {
  askGroup();
  const rows = state.phones.map((phone) => make('label', {}, make('input', { type: 'checkbox', name: 'member', value: phone.number, checked: true }), `${phone.name}  +${phone.number}`));
  $('members').replaceChildren(...rows);
});

let scanner = '';
const openScan = dialog('scan-dialog', (form) => ask('POST', `/phones/${scanner}/scan`, { qr: form.get('qr') }));

function askScan(number) {
  scanner = number;
  openScan();
  drawCodes();
}

function drawCodes() {
  const phone = state.phones.find((one) => one.number === scanner);
  const count = state.waiting.length;
  $('scan-who').textContent = count ? `Link ${phone?.name ?? scanner} with a page that waits:` : 'No page shows a code now. Open WhatsApp Web of this simulator first.';
  const buttons = state.waiting.map((code) => {
    const left = Math.max(0, Math.ceil((code.expires_at + ahead - Date.now()) / 1000));
    const scan = () => act(async () => {
      await ask('POST', `/phones/${scanner}/scan`, { ref: code.ref });
      $('scan-dialog').close();
    });
    return make('button', { type: 'button', on: { click: scan } }, make('span', {}, `Page ${code.page} · ${code.ref.slice(2, 10)}…`), make('small', {}, `${left} s`));
  });
  $('codes').replaceChildren(...buttons);
}

setInterval(() => $('scan-dialog').open && drawCodes(), 1000);
document.addEventListener('visibilitychange', refresh);

// The stream says that something has changed, and once at its start; it comes back by itself when the simulator does.
const changes = new EventSource('/control/changes');
changes.addEventListener('message', refresh);
changes.addEventListener('error', () => trouble('The simulator does not answer.'));
