// Files that messages carry: prepared and uploaded before a send, fetched when somebody wants them.
//
// In: wa-js's sendFileMessage and downloadMedia. Out: WAWebMediaOpaqueDataBase, WAWebMediaOpaqueData, WAWebMediaPrep,
// WAWebMediaGatingUtils, WAWebLruMediaStore, WAWebMediaInMemoryBlobCache, WAWebGenerateVideoThumbsAndDuration,
// WAWebProcessRawSticker, WAWebUploadMedia, PageMedia (own).
// Must not send a message before its file is uploaded.
//
// Sources: wa-js src/whatsapp/misc/MediaPrep.ts, OpaqueData.ts, LruMediaStore.ts, MediaBlobCache.ts, MediaGatingUtils.ts
// (names and shapes), chat/functions/sendFileMessage.ts (`prepRawMedia`, `waitForPrep`, `sendToChat({chat, options})` with the
// message of `productMsgOptions` merged in, which is added to chat.msgs later), downloadMedia.ts (`msg.downloadMedia(…)`
// fills the cache by `filehash`). Limits: 16 MB for media, 100 MB for documents (WhatsApp's help pages; this simulator's
// server takes 16). What is not known of the real page, such as thumbnails and encryption, is left out.
'use strict';

__d('PageMedia', [], (_global, _require, importNamespace, _module, exports) => {
  /** The kind of message for a file. */
  exports.kindOf = (type, { asDocument, asSticker, isPtt }) => {
    const [family] = type.split('/');
    if (asDocument) return 'document';
    if (asSticker) return 'sticker';
    if (family === 'audio') return isPtt ? 'ptt' : 'audio';
    return family === 'image' || family === 'video' ? family : 'document';
  };

  exports.upload = async (blob) => {
    const bytes = await blob.arrayBuffer();
    const response = await fetch('/files', { method: 'POST', body: bytes });
    if (!response.ok) throw new Error(`the file was not taken: ${response.status}`);
    const filehash = importNamespace('WABase64').encodeB64(await crypto.subtle.digest('SHA-256', bytes));
    return { reference: await response.text(), size: bytes.byteLength, filehash };
  };

  /** What a model holds of a file that it carries. */
  exports.dataOf = (medium) => ({
    mimetype: medium.mimetype,
    filehash: medium.filehash,
    size: medium.size,
    reference: medium.reference,
    mediaStage: 'NEED_DOWNLOAD',
  });

  /** Fetches the file of a message into the cache. Nothing is there afterwards if the server has it no more (assumed). */
  exports.download = async (msg) => {
    const { reference, filehash } = msg.mediaData;
    const response = await fetch(`/files/${reference}`);
    if (response.ok) await importNamespace('WAWebLruMediaStore').LruMediaStore.put(filehash, await response.arrayBuffer());
  };
});

__d('WAWebMediaOpaqueDataBase', [], (_global, _require, _import, _module, exports) => {
  exports.default = class OpaqueDataBase {
    released = false;

    retain() {}
    autorelease() {}

    throwIfReleased(what) {
      if (this.released) throw new Error(`${what}: the data was released`);
    }
  };
});

__d('WAWebMediaOpaqueData', [], (_global, require, _import, _module, exports) => {
  const OpaqueDataBase = require('WAWebMediaOpaqueDataBase');

  exports.default = class OpaqueData extends OpaqueDataBase {
    constructor(blob) {
      super();
      this.blob = blob;
    }

    static async createFromData(data, type) {
      return new OpaqueData(data instanceof Blob ? data : new Blob([data], { type }));
    }

    size() {
      return this.blob.size;
    }

    type() {
      return this.blob.type;
    }

    forceToBlob() {
      this.throwIfReleased('forceToBlob');
      return this.blob;
    }
  };
});

__d('WAWebMediaPrep', [], (_global, _require, importNamespace, _module, exports) => {
  const { kindOf, upload, dataOf } = importNamespace('PageMedia');

  class MediaPrep {
    constructor(data, options) {
      this.data = data;
      this.kind = kindOf(data.type(), options);
      this.mediaData = { type: this.kind, mimetype: data.type(), size: data.size(), mediaStage: 'EXISTS' };
    }

    async waitForPrep() {
      return this.mediaData;
    }

    async sendToChat({ chat, options }) {
      const raw = options.productMsgOptions;
      const { blob } = this.data;
      const medium = { ...(await upload(blob)), mimetype: blob.type };
      if (this.kind === 'document') medium.filename = raw.filename;
      const [message, outcome] = importNamespace('WAWebSendMsgChatAction').addAndSendMsgToChat(chat, {
        ...raw,
        type: this.kind,
        caption: options.caption ?? '',
        mimetype: medium.mimetype,
        size: medium.size,
        filehash: medium.filehash,
        mediaData: { ...dataOf(medium), mediaStage: 'RESOLVED' },
        medium,
      });
      await message;
      return outcome;
    }
  }

  exports.MediaPrep = MediaPrep;
  exports.prepRawMedia = (data, options) => new MediaPrep(data, options);
  exports.uploadProductImage = async () => {
    throw new Error('this simulator has no catalogues');
  };
});

__d('WAWebMediaGatingUtils', [], (_global, _require, _import, _module, exports) => {
  const MB = 1024 * 1024;
  exports.getUploadLimit = (type) => (type === 'document' ? 100 * MB : 16 * MB);
});

__d('WAWebLruMediaStore', [], (_global, _require, _import, _module, exports) => {
  // assumed: as many files as a person looks at; the real one is in IndexedDB
  const MOST = 32;
  const files = new Map();
  exports.LruMediaStore = {
    get: async (hash) => files.get(hash) ?? null,
    has: async (hash) => files.has(hash),
    del: async (hash) => void files.delete(hash),
    clear: async () => files.clear(),
    count: async () => files.size,
    put: async (hash, bytes) => {
      files.set(hash, bytes);
      if (files.size > MOST) files.delete(files.keys().next().value);
    },
  };
});

__d('WAWebMediaInMemoryBlobCache', [], (_global, _require, _import, _module, exports) => {
  class InMemoryMediaBlobCacheImpl {
    has() {
      return false; // assumed: it holds what is on the screen, and this page shows no pictures
    }
  }
  exports.InMemoryMediaBlobCacheImpl = InMemoryMediaBlobCacheImpl;
  exports.InMemoryMediaBlobCache = new InMemoryMediaBlobCacheImpl();
});

// wa-js wraps these three when it is ready; this page has no thumbnails, and uploads by itself.
__d('WAWebGenerateVideoThumbsAndDuration', [], (_global, _require, _import, _module, exports) => {
  exports.generateVideoThumbsAndDuration = async () => ({ duration: 0, thumbs: [] });
});

__d('WAWebProcessRawSticker', [], (_global, _require, _import, _module, exports) => {
  exports.processRawSticker = async (data) => ({ type: 'sticker', mediaBlob: data, mimetype: data.type() });
});

__d('WAWebUploadMedia', [], (_global, _require, importNamespace, _module, exports) => {
  exports.uploadMedia = (data) => importNamespace('PageMedia').upload(data);
});
