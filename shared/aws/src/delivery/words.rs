//! How a notice reads, by kind of channel.

use cauce_model::record::Notice;
use serde_json::json;

/// Most characters of the subject of an SNS message: ASCII without line breaks, beginning with a
/// letter, digit or punctuation mark.
/// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
const SNS_SUBJECT_MAX: usize = 100;

/// One line: what happened, and to which run.
pub(super) fn subject(notice: &Notice) -> String {
    format!("[{}] {}: {}", notice.event, notice.run, notice.subject).replace(['\r', '\n'], " ")
}

/// The subject for SNS.
pub(super) fn sns_subject(notice: &Notice) -> String {
    subject(notice)
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .take(SNS_SUBJECT_MAX)
        .collect()
}

/// All of it, for people.
pub(super) fn text(notice: &Notice) -> String {
    let task = notice.task.as_ref().map(|task| format!("task: {task}\n")).unwrap_or_default();
    let message = if notice.message.is_empty() { String::new() } else { format!("\n{}\n", notice.message) };
    format!(
        "{}\n\nrun: {}\n{task}at: {}\nnotice: {}\n{message}",
        subject(notice),
        notice.run,
        notice.at,
        notice.id
    )
}

/// The body that an incoming webhook of Slack takes.
/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/>
pub(super) fn slack(notice: &Notice) -> String {
    // Slack reads `&`, `<` and `>` as its own marks.
    let text = text(notice).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({"text": text}).to_string()
}

/// The body that a Teams workflow's webhook takes: a message with one adaptive card.
/// <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>
pub(super) fn teams(notice: &Notice) -> String {
    let block = |text: String, weight: &str| json!({"type": "TextBlock", "text": text, "wrap": true, "weight": weight});
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [block(subject(notice), "Bolder"), block(text(notice), "Default")],
            },
        }],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cauce_model::{Instant, Json};

    fn notice() -> Notice {
        Notice {
            id: "n-1".into(),
            channel: "alerts".into(),
            event: "failed".into(),
            subject: "the run failed: a < b & ñ\nhere".into(),
            message: "exit code 3".into(),
            run: "sales/1997-01-05".into(),
            task: Some("load".into()),
            at: Instant::from_micros(0),
        }
    }

    #[test]
    fn subjects_are_one_line_and_plain_for_sns() {
        assert_eq!(subject(&notice()), "[failed] sales/1997-01-05: the run failed: a < b & ñ here");
        let long = Notice { subject: "x".repeat(500), ..notice() };
        assert_eq!(sns_subject(&long).len(), SNS_SUBJECT_MAX);
        assert!(sns_subject(&notice()).is_ascii());
    }

    #[test]
    fn bodies_are_what_their_readers_take() {
        let body: Json = serde_json::from_str(&slack(&notice())).unwrap();
        assert!(body["text"].as_str().unwrap().contains("a &lt; b &amp; ñ"));
        let body: Json = serde_json::from_str(&teams(&notice())).unwrap();
        let card = &body["attachments"][0]["content"];
        assert_eq!(card["type"], "AdaptiveCard");
        assert!(card["body"][1]["text"].as_str().unwrap().contains("task: load"));
        assert!(text(&notice()).ends_with("notice: n-1\n\nexit code 3\n"));
    }
}
