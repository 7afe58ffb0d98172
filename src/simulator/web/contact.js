// People: who wrote, who is in the address book of the phone, and the names to show for them.
//
// Out: WAWebContactModel, WAWebContactCollection, WAWebContactGetters, WAWebFrontendContactGetters.
// Must not read `contact.isMe` and the like here: wa-js turns those into accessors that call these functions.
//
// Sources: wa-js src/contact/patch.ts, src/whatsapp/functions/contactFunctions.ts (names of the functions and which of
// them stand together), collections/ContactCollection.ts.
'use strict';

__d('WAWebContactModel', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class Contact extends BaseModel {}
  defineModel(Contact, 'contact', [
    'id',
    'name',
    'shortName',
    'pushname',
    'type',
    'verifiedName',
    'isBusiness',
    'isEnterprise',
    'username',
    'labels',
    'isAddressBookContact',
  ]);
  exports.Contact = Contact;
});

__d('WAWebContactCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseCollection } = importNamespace('WAWebBaseCollection');
  const { Contact } = importNamespace('WAWebContactModel');
  const { createWid } = importNamespace('WAWebWidFactory');

  class ContactCollectionImpl extends BaseCollection {
    static model = Contact;

    /** Notes a person, or what is newly known of one. */
    note(id, known) {
      const values = Object.fromEntries(Object.entries(known).filter(([, value]) => value));
      const wid = createWid(id);
      const contact = this.get(wid) ?? this.add({ id: wid, type: 'in', isBusiness: false, isAddressBookContact: 0 });
      contact.set(values);
      return contact;
    }
  }

  exports.ContactCollectionImpl = ContactCollectionImpl;
  exports.ContactCollection = new ContactCollectionImpl();
});

__d('WAWebContactGetters', [], (_global, _require, importNamespace, _module, exports) => {
  exports.getNotifyName = (contact) => contact.pushname;
  exports.getPremiumMessageName = () => undefined;
  exports.getUserid = (contact) => contact.id.user;
  exports.getIsMe = (contact) => importNamespace('WAWebUserPrefsMeUser').isMeAccount(contact.id);
  exports.getIsUser = (contact) => contact.id.isUser();
  exports.getIsGroup = (contact) => contact.id.isGroup();
  exports.getIsBroadcast = (contact) => contact.id.isBroadcast();
  exports.getIsNewsletter = (contact) => contact.id.isNewsletter();
  exports.getIsPSA = (contact) => contact.id.isPSA();
  exports.getIsWAContact = () => true;
  for (const name of [
    'getIsIAS',
    'getIsSupportAccount',
    'getCanRequestPhoneNumber',
    'getShowBusinessCheckmarkAsPrimary',
    'getShowBusinessCheckmarkAsSecondary',
    'getShowBusinessCheckmarkInChatlist',
    'getIsDisplayNameApproved',
    'getShouldForceBusinessUpdate',
  ]) {
    exports[name] = () => false; // assumed: no business accounts
  }
});

__d('WAWebFrontendContactGetters', [], (_global, _require, importNamespace, _module, exports) => {
  const { lidPnCache } = importNamespace('WAWebApiContact');
  const phone = (contact) => (contact.id.isLid() ? lidPnCache.getPhoneNumber(contact.id) : contact.id);
  const formatted = (contact) => (contact.id.isUser() && phone(contact) ? `+${phone(contact).user}` : contact.id.user);
  const shown = (contact) => contact.name ?? contact.pushname ?? formatted(contact);

  exports.getIsMyContact = (contact) => Boolean(contact.isAddressBookContact);
  exports.getPhoneNumber = phone;
  exports.getPnForLid = (contact) => (contact.id.isLid() ? lidPnCache.getPhoneNumber(contact.id) : undefined);
  exports.getTextStatusString = () => undefined;
  exports.getDisplayName = shown;
  exports.getUserDisplayNameForLid = shown;
  exports.getFormattedPhone = formatted;
  exports.getFormattedUser = formatted;
  exports.getFormattedName = shown;
  exports.getFormattedShortName = (contact) => contact.shortName ?? shown(contact);
  exports.getFormattedShortNameWithNonBreakingSpaces = (contact) =>
    exports.getFormattedShortName(contact).replaceAll(' ', '\u00a0');
  exports.getSearchName = (contact) => shown(contact).toLowerCase();
  exports.getSearchVerifiedName = (contact) => contact.verifiedName;
  exports.getHeader = (contact) => shown(contact).charAt(0).toUpperCase();
});
