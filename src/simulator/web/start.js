// Loads the page's modules in batches with pauses between them, then starts the session.
//
// In: nothing. Out: script elements; at the end `start()` of the session.
// Must not define modules.
//
// Sources: wa-js issues 3419 and 3481: WhatsApp registers its modules in parts, well after the page has loaded, and what
// asks too early does not find them. The number and the times of the batches are assumed.
'use strict';

(() => {
  const BATCHES = [
    ['events', 'model', 'collection', 'enums'],
    ['wid', 'msgkey', 'account', 'connection'],
    ['lid', 'contact', 'group', 'presence', 'msg', 'chat'],
    ['sending', 'receipts', 'find', 'preview'],
    ['storage', 'socket', 'inbox', 'session', 'view'],
  ];
  const PAUSE_MS = 120;

  // The page runs with `require-trusted-types-for 'script'`; only the names above become script addresses.
  const policy = window.trustedTypes?.createPolicy('page-modules', { createScriptURL: (url) => url });

  function loadScript(name) {
    return new Promise((resolve, reject) => {
      const element = document.createElement('script');
      const url = `/${name}.js`;
      element.async = false;
      element.src = policy ? policy.createScriptURL(url) : url;
      element.onload = resolve;
      element.onerror = () => reject(new Error(`the script ${url} could not be loaded`));
      document.head.append(element);
    });
  }

  async function start() {
    for (const batch of BATCHES) {
      await Promise.all(batch.map(loadScript));
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
