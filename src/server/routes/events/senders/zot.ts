/** CloudEvents of Zot ("Event Support for zot"). */
import { cloudEventIn } from '../cloud-event.ts';
import { changed, IGNORED, pushed, type Sender } from '../notification.ts';
import { isImageType } from './distribution.ts';

/** The end of an event's type; what comes before is configurable. */
const TYPE = /(?:^|\.)(?:image\.(?<action>updated|deleted|lint_failed)|repository\.created)$/;

/** Events of type `zotregistry.image.updated` with `{"name", "reference", "mediaType"}`; the reference is a tag or a digest. */
export const zot: Sender = {
  name: 'Zot',
  parse(notification) {
    const event = cloudEventIn(notification);
    const found = event && TYPE.exec(event.type);
    if (!found) return undefined;
    const { name, reference, mediaType } = event.data;
    const action = found.groups?.['action'];
    if (action === 'deleted') return changed(name, reference, 'name');
    return action === 'updated' && isImageType(mediaType) ? pushed(name, reference, 'name') : IGNORED;
  },
};
