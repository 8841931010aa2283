"""A Django project with django-otp-twilio as a user sets it up: sends a code, then judges those that come on stdin.

Called with its settings as JSON; prints a JSON line for the challenge and one for each code.
"""

from __future__ import annotations

import json
import sys

import django
import requests
from django.conf import settings
from django.core.management import call_command

given = json.loads(sys.argv[1])
settings.configure(
    SECRET_KEY="a project of one file",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_otp", "otp_twilio"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    OTP_TWILIO_THROTTLE_FACTOR=0,
    **given["settings"],
)
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth.models import User  # noqa: E402  # models need the settings
from otp_twilio.models import TwilioSMSDevice  # noqa: E402

device = TwilioSMSDevice.objects.create(user=User.objects.create_user("ada"), number=given["to"])
try:
    print(json.dumps({"challenge": device.generate_challenge()}), flush=True)
except requests.HTTPError as error:
    if error.response is None:
        raise
    print(json.dumps({"refused": error.response.status_code, "said": error.response.json()}), flush=True)
for line in sys.stdin:
    print(json.dumps({"verified": device.verify_token(line.strip())}), flush=True)
