// The library's own settings, read when its script starts: nothing may leave the machine for its sake. Without the
// first it reports the page's address to an analytics service; without the second it asks servers of third parties
// about every link.
window.WPPConfig = {
  disableGoogleAnalytics: true,
  googleAnalyticsId: null,
  linkPreviewApiServers: [],
  syncAllStatus: false,
};
