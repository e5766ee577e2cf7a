import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ageRatingOf } from '../../../src/indexing/appdata/age-rating.ts';

test('the age is the highest that an answer asks for, and says why', () => {
  assert.deepEqual(
    ageRatingOf({
      'violence-cartoon': 'mild',
      'money-gambling': 'intense',
      'drugs-alcohol': 'none',
      'social-info': 'mild',
    }),
    {
      age: 18,
      reasons: [
        { id: 'money-gambling', level: 'intense', text: 'Gambling' },
        { id: 'violence-cartoon', level: 'mild', text: 'Cartoon violence' },
        { id: 'social-info', level: 'mild', text: 'Sharing information about the user' },
      ],
    },
  );
});

test('without anything to name, an app is for everybody; without answers, nothing is said', () => {
  assert.deepEqual(ageRatingOf({}), { age: 0, reasons: [] });
  assert.deepEqual(ageRatingOf({ 'violence-cartoon': 'none', constructor: 'intense', 'sex-themes': 'extreme' }), {
    age: 0,
    reasons: [],
  });
  assert.equal(ageRatingOf(undefined), undefined);
});
