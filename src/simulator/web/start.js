// Loads the page's modules in batches with pauses between them, then starts the session.
//
// In: nothing. Out: the modules of all files; at the end `start()` of the session.
// Must not define modules.
//
// Sources: wa-js issues 3419 and 3481: WhatsApp registers its modules in parts, well after the page has loaded, and
// what asks too early does not find them. The number and the times of the batches are assumed.
'use strict';

(() => {
  const BATCHES = [
    ['events', 'model', 'collection', 'enums'],
    ['wid', 'msgkey', 'account', 'connection'],
    ['lid', 'contact', 'group', 'presence', 'msg', 'chat'],
    ['sending', 'receipts', 'find', 'preview', 'media', 'deeds'],
    ['storage', 'socket', 'inbox', 'session', 'view'],
  ];
  const PAUSE_MS = 120;

  async function start() {
    for (const batch of BATCHES) {
      // `import`, because the page's policy allows no script element that a script has made
      for (const name of batch) await import(`/${name}.js`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    require('PageView').start();
    await require('PageSession').start();
  }

  start().catch((error) => {
    console.error(error);
    document.getElementById('startup')?.append(`: ${error.message}`);
  });
})();
