// Notes the library's events, in order, as plain data; they survive navigations of the tab.
(() => {
  if (!window.WPP || !location.protocol.startsWith('http')) return;
  window.__events = JSON.parse(sessionStorage.getItem('__events') ?? '[]');
  const text = (value) => (value === undefined || value === null ? null : String(value));
  const note = (event, data) => {
    window.__events.push({ event, data: data === undefined ? null : data });
    sessionStorage.setItem('__events', JSON.stringify(window.__events));
  };
  const plain = (value) => (['object', 'function'].includes(typeof value) ? text(value) : value);

  for (const name of ['loader.injected', 'loader.ready', 'loader.full_ready']) WPP.on(name, () => note(name));
  for (const name of [
    'conn.authenticated', 'conn.logout', 'conn.logout_reason', 'conn.main_init', 'conn.main_loaded', 'conn.main_ready',
    'conn.needs_update', 'conn.online', 'conn.qrcode_idle', 'conn.require_auth', 'conn.stream_info_changed', 'conn.stream_mode_changed',
  ]) {
    WPP.on(name, (value) => note(name, plain(value)));
  }
  WPP.on('conn.backend_event', (event) => note('conn.backend_event', plain(event?.type ?? event?.event ?? event)));
  WPP.on('conn.auth_code_change', (code) => note('conn.auth_code_change', code && code.fullCode));
  WPP.on('chat.new_message', (msg) => {
    note('chat.new_message', {
      id: text(msg.id), raw: msg.id.id, chat: text(msg.id.remote), from: text(msg.from), to: text(msg.to), author: text(msg.author), fromMe: msg.id.fromMe,
      body: msg.body, type: msg.type, t: msg.t, ack: msg.ack, name: msg.notifyName, isNewMsg: msg.isNewMsg, quoted: msg.quotedStanzaID ?? null,
    });
  });
  WPP.on('chat.msg_ack_change', ({ ack, chat, sender, ids }) => {
    note('chat.msg_ack_change', { ack, chat: text(chat), sender: text(sender), ids: ids.map((id) => id.id ?? text(id)) });
  });
  WPP.on('chat.msg_revoke', ({ author, refId, type }) => note('chat.msg_revoke', { author: text(author), ref: text(refId), type }));
  WPP.on('chat.msg_edited', ({ id, msg }) => note('chat.msg_edited', { id: text(id), body: msg.body }));
  WPP.on('chat.new_reaction', ({ msgId, reactionText, sender }) => {
    note('chat.new_reaction', { of: text(msgId), reaction: reactionText, sender: text(sender) });
  });
  WPP.on('chat.unread_count_changed', (data) => {
    note('chat.unread_count_changed', { chat: text(data.chat?.id ?? data.chat), unread: data.unreadCount, before: data.previousUnreadCount ?? null });
  });
  WPP.on('chat.new_chat', (chat) => note('chat.new_chat', text(chat?.id ?? chat)));
})();
