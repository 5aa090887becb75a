"""Limits of the account are told, as long as ministack has none to tell."""

import importlib.util
import unittest

from tests.harness import Emulator, Refused, ministack_or_skip


class Quotas(unittest.TestCase):
    def test_ministack_has_none(self):
        ministack_or_skip()
        for name in ("service_quotas", "servicequotas"):
            self.assertIsNone(importlib.util.find_spec(f"ministack.services.{name}"), "cauce_emulator.quotas can go")

    def test_limits_have_their_names_and_values(self):
        cloud = Emulator()
        try:
            told = cloud.call("servicequotas", "GetServiceQuota", ServiceCode="lambda", QuotaCode="L-B99A9384")
            self.assertEqual((told["Quota"]["QuotaName"], told["Quota"]["Value"]), ("Concurrent executions", 1000.0))
            with self.assertRaises(Refused) as refused:
                cloud.call("servicequotas", "GetServiceQuota", ServiceCode="lambda", QuotaCode="L-0")
            self.assertEqual(refused.exception.code, "NoSuchResourceException")
            calls = cloud.control("GET", "calls", action="servicequotas:GetServiceQuota")["calls"]
            self.assertEqual([call["status"] for call in calls], [200, 400])
        finally:
            cloud.stop()
