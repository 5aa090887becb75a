"""Service Quotas, which ministack does not have: the two limits that cauce asks for, at the values of a new account."""

TARGET = "ServiceQuotasV20190624."

LIMITS = {
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
    ("fargate", "L-3032A538"): ("Fargate On-Demand vCPU resource count", 6.0),
    # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    ("lambda", "L-B99A9384"): ("Concurrent executions", 1000.0),
}


def answer(operation: str, request: dict) -> tuple[int, dict]:
    """https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html"""
    if operation not in ("GetServiceQuota", "GetAWSDefaultServiceQuota"):
        return 400, {"__type": "InvalidAction", "message": f"{operation} is not emulated"}
    service, code = request.get("ServiceCode", ""), request.get("QuotaCode", "")
    if (service, code) not in LIMITS:
        return 400, {"__type": "NoSuchResourceException", "message": f"there is no limit {service}/{code}"}
    name, value = LIMITS[service, code]
    return 200, {"Quota": {"ServiceCode": service, "QuotaCode": code, "QuotaName": name, "Value": value,
                           "Unit": "None", "Adjustable": True, "GlobalQuota": False}}
