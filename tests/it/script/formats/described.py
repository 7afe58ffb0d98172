# Reads posts, a line each, and says what is wrong with them by the models that waha-py has from WAHA's API description.
import json
import sys

from pydantic import BaseModel, ValidationError
from waha.generated import models

MODELS = {
    "message": models.WAHAWebhookMessage,
    "message.any": models.WAHAWebhookMessageAny,
    "message.ack": models.WAHAWebhookMessageAck,
    "session.status": models.WAHAWebhookSessionStatus,
}
# The description marks every field as required. WAHA itself leaves these out where there is nothing to say: who wrote it where
# that is not a group, and the old name of the medium's address.
MAY_BE_MISSING = {("payload", "participant"), ("payload", "mediaUrl")}


def fields(model):
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def unknown(model, value, path):
    known = fields(model)
    for name, part in value.items():
        if name not in known:
            yield f"{path}{name}: there is no such field"
            continue
        kinds = [known[name], *getattr(known[name], "__args__", ())]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for item in part if isinstance(part, list) else [part]:
            if inner and isinstance(item, dict):
                yield from unknown(inner[0], item, f"{path}{name}.")


for line in sys.stdin:
    post = json.loads(line)
    model = MODELS[post["event"]]
    try:
        # The name of an event is an object in these models, which is a mistake of their generator.
        model.model_validate({**post, "event": {}})
    except ValidationError as error:
        for wrong in error.errors():
            if wrong["type"] != "missing" or wrong["loc"] not in MAY_BE_MISSING:
                print(f"{post['event']}: {wrong['loc']}: {wrong['msg']}")
    for wrong in unknown(model, post, ""):
        print(f"{post['event']}: {wrong}")
