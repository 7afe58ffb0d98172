// Groups: their name and members.
//
// Out: WAWebParticipantModel, WAWebGroupParticipantCollection (default), WAWebGroupMetadataModel,
// WAWebGroupMetadataCollection (default), WAWebGroupQueryJob, WAWebDBUpdateGroup.
// Must not ask the server: what it knows of groups comes with the chats.
//
// Sources: wa-js src/whatsapp/collections/GroupMetadataCollection.ts (found by `_handleParentGroupChange`),
// ParticipantCollection.ts (`iAmMember`), functions/queryAllGroups.ts, updateDBForGroupAction.ts and
// group/events/registerParticipantsChangedEvent.ts, which wraps it.
'use strict';

__d('WAWebParticipantModel', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');

  class Participant extends BaseModel {}
  defineModel(Participant, 'participant', ['id', 'isAdmin', 'isSuperAdmin']);
  exports.Participant = Participant;
});

__d('WAWebGroupParticipantCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseCollection } = importNamespace('WAWebBaseCollection');
  const { Participant } = importNamespace('WAWebParticipantModel');
  const { isMeAccount } = importNamespace('WAWebUserPrefsMeUser');

  class GroupParticipantCollection extends BaseCollection {
    static model = Participant;

    iAmMember() {
      return this.some((participant) => isMeAccount(participant.id));
    }

    iAmAdmin() {
      return this.some((participant) => isMeAccount(participant.id) && Boolean(participant.isAdmin));
    }
  }
  exports.default = GroupParticipantCollection;
});

__d('WAWebGroupMetadataModel', [], (_global, require, importNamespace, _module, exports) => {
  const { BaseModel, defineModel } = importNamespace('WAWebBaseModel');
  const GroupParticipantCollection = require('WAWebGroupParticipantCollection');
  const { createWid } = importNamespace('WAWebWidFactory');

  class GroupMetadata extends BaseModel {
    initialize() {
      this.participants = new GroupParticipantCollection(undefined, { parent: this });
    }

    /** Puts the members as the server last named them. */
    putParticipants(list) {
      const ids = new Set(list.map((each) => each.id));
      this.participants.remove(this.participants.filter((each) => !ids.has(String(each.id))));
      for (const { id, admin } of list) {
        this.participants.add({ id: createWid(id), isAdmin: Boolean(admin), isSuperAdmin: false }, { merge: true });
      }
    }
  }
  defineModel(GroupMetadata, 'groupMetadata', ['id', 'subject', 'owner', 'creation', 'groupType', 'memberAddMode']);
  exports.GroupMetadata = GroupMetadata;
});

__d('WAWebGroupMetadataCollection', [], (_global, _require, importNamespace, _module, exports) => {
  const { BaseCollection } = importNamespace('WAWebBaseCollection');
  const { GroupMetadata } = importNamespace('WAWebGroupMetadataModel');

  class GroupMetadataCollection extends BaseCollection {
    static model = GroupMetadata;

    _handleParentGroupChange() {}
  }
  exports.default = new GroupMetadataCollection();
});

__d('WAWebGroupQueryJob', [], (_global, _require, importNamespace, _module, exports) => {
  exports.queryAllGroups = async () => {
    const { ChatCollection } = importNamespace('WAWebChatCollection');
    return ChatCollection.filter((chat) => chat.id.isGroup()).map((chat) => ({ id: chat.id, subject: chat.name }));
  };
});

__d('WAWebDBUpdateGroup', [], (_global, require, importNamespace, _module, exports) => {
  const { createWid } = importNamespace('WAWebWidFactory');

  /** Applies one change of members: `meta.chatId` is the group, `action.participants` who is concerned. */
  exports.updateDBForGroupAction = async (meta, action) => {
    const participants = require('WAWebGroupMetadataCollection').get(meta.chatId)?.participants;
    for (const wid of action.participants) {
      if (action.actionType === 'remove') participants?.remove(wid);
      else participants?.add({ id: createWid(wid), isAdmin: action.actionType === 'promote' }, { merge: true });
    }
  };
});
