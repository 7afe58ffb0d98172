// Previews of links in messages that are sent: WhatsApp's own way to make one, which wa-js replaces.
//
// Out: WAWebFindLinks, WAWebLinkPreviewChatAction, WAWebMinimalLinkPreview.
// Must not reach out to any other host.
//
// Sources: wa-js chat/functions/prepareLinkPreview.ts: `findFirstWebLink`, `getLinkPreview`, and
// `genMinimalLinkPreview`, which it wraps to ask servers of its own. Without these modules a caller who forgets to turn
// that off would not show.
'use strict';

__d('WAWebFindLinks', [], (_global, _require, _import, _module, exports) => {
  exports.findFirstWebLink = (text) => {
    const url = /https?:\/\/\S+/.exec(text)?.[0];
    return url && { url };
  };
});

__d('WAWebLinkPreviewChatAction', [], (_global, _require, importNamespace, _module, exports) => {
  exports.getLinkPreview = (link) => importNamespace('WAWebMinimalLinkPreview').genMinimalLinkPreview(link);
});

__d('WAWebMinimalLinkPreview', [], (_global, _require, _import, _module, exports) => {
  exports.genMinimalLinkPreview = async (link) => ({ url: link.url ?? link, data: { matchedText: link.url ?? link } });
});
