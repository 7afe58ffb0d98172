// Phone numbers and the ids (lid) that hide them, and the question whether a number has an account.
//
// Out: WAWebApiContact (lidPnCache and its readers), WAWebDBCreateLidPnMappings, WAWebQueryExistsJob, WAWebToUserLid.
// Must not keep anything beyond the document: the pairs come again with the chats.
//
// Sources: wa-js src/whatsapp/misc/LidPnCache.ts, ApiContact.ts, DBCreateLidPnMappings.ts (by id),
// functions/sendQueryExists.ts (`queryWidExists` with `queryPhoneExists`; it fills the cache before it answers).
'use strict';

__d('WAWebApiContact', [], (_global, _require, importNamespace, _module, exports) => {
  const { createWid } = importNamespace('WAWebWidFactory');
  const byLid = new Map();
  const byPhone = new Map();

  exports.lidPnCache = {
    add(lid, entry) {
      const phoneNumber = createWid(entry.phoneNumber);
      const pair = { lid: createWid(lid), phoneNumber, phoneNumberCreatedAt: entry.phoneNumberCreatedAt ?? 0 };
      byLid.set(String(lid), pair);
      byPhone.set(String(phoneNumber), pair);
    },
    getPhoneNumber: (lid) => byLid.get(String(lid))?.phoneNumber,
    getCurrentLid: (phone) => byPhone.get(String(phone))?.lid,
    getLidEntry: (lid) => byLid.get(String(lid)),
    getAllLids: () => [...byLid.values()].map((pair) => pair.lid),
    remove(lid) {
      byPhone.delete(String(byLid.get(String(lid))?.phoneNumber));
      byLid.delete(String(lid));
    },
    clear() {
      byLid.clear();
      byPhone.clear();
    },
  };
  exports.getCurrentLid = (phone) => exports.lidPnCache.getCurrentLid(phone);
  exports.getPhoneNumber = (lid) => exports.lidPnCache.getPhoneNumber(lid);
});

__d('WAWebDBCreateLidPnMappings', [], (_global, _require, importNamespace, _module, exports) => {
  exports.createLidPnMappings = async ({ mappings = [] }) => {
    const { lidPnCache } = importNamespace('WAWebApiContact');
    for (const { lid, pn } of mappings) lidPnCache.add(lid, { lid, phoneNumber: pn });
  };
});

__d('WAWebToUserLid', [], (_global, _require, importNamespace, _module, exports) => {
  const toUserLid = (wid) => (wid.isLid() ? wid : importNamespace('WAWebApiContact').getCurrentLid(wid));
  exports.toUserLid = toUserLid;
  exports.toUserLidOrThrow = (wid) => {
    const lid = toUserLid(wid);
    // source: issues of whatsapp-web.js, sending to a number without an account
    if (!lid) throw new Error('No LID for user');
    return lid;
  };
});

__d('WAWebQueryExistsJob', [], (_global, require, importNamespace, _module, exports) => {
  const { createWid } = importNamespace('WAWebWidFactory');

  /** Null when there is no such account; rejects when the server does not answer. */
  exports.queryWidExists = async (wid) => {
    const phone = wid.isLid() ? importNamespace('WAWebApiContact').getPhoneNumber(wid) : wid;
    if (!phone) return null;
    const answer = await require('PageSocket').query('exists', { number: phone.user });
    if (!answer.exists) return null;
    const who = answer.who ?? { wid: String(phone) };
    if (who.lid) {
      await importNamespace('WAWebDBCreateLidPnMappings').createLidPnMappings({
        mappings: [{ lid: who.lid, pn: who.wid }],
      });
    }
    return { wid: createWid(who.wid), biz: false, name: who.name };
  };
  exports.queryPhoneExists = (number) => exports.queryWidExists(createWid(`${number}@c.us`));
});
