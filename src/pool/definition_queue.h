// SPDX-License-Identifier: Apache-2.0
#pragma once
// The queue's part of the definition; see pool/definition.h.
#include <array>

#include "pool/definition_base.h"
#include "pool/types.h"

namespace sluice::pool {

inline constexpr std::array<std::string_view, 2> queue_type_words = {"quorum", "classic"};

template <class V, Is<Credentials> T>
void describe(V& v, T& o) {
  v.about("Where user and password are kept: never in the pool file.");
  v.field(
      "secret", o.secret,
      {.doc =
           "A Secret of the pool's namespace; on one machine the folder of that name under `--secrets`. Keys, one file "
           "each: username, password, optional ca.crt, tls.crt, tls.key.",
       .required = true,
       .sensitive = true,
       .form = Form::name});
}

template <class V, Is<Tls> T>
void describe(V& v, T& o) {
  v.about("TLS beyond the system's defaults. The server's certificate is always verified.");
  v.field("ca", o.ca,
          {.doc = "File of the certificates to trust.",
           .form = Form::path,
           .default_text = "ca.crt of the secret, else the system's"});
  v.field("cert", o.cert,
          {.doc = "File of the client's certificate.", .form = Form::path, .default_text = "tls.crt of the secret"});
  v.field("key", o.key,
          {.doc = "File of the client's key.", .form = Form::path, .default_text = "tls.key of the secret"});
  v.field("serverName", o.server_name,
          {.doc = "The name that the server's certificate must carry.",
           .form = Form::name,
           .default_text = "the URL's host"});
  v.rule(o,
         {.fields = {"cert", "key"},
          .accepted = "cert and key together, or neither",
          .cel = "has(self.cert) == has(self.key)"},
         [](const Tls& t) {
           return wrong_unless(t.cert.has_value() == t.key.has_value(),
                               t.cert ? "cert without key" : "key without cert");
         });
}

template <class V, Is<Declare> T>
void describe(V& v, T& o) {
  v.about("Create the queue if it is not there.");
  v.field("type", o.type, {.doc = "The type of the queue.", .words = queue_type_words});
}

template <class V, Is<RabbitQueue> T>
void describe(V& v, T& o) {
  v.about("A queue on RabbitMQ.");
  v.field("url", o.url, {.doc = "The broker, without credentials.", .required = true, .form = Form::amqp_url});
  v.field("vhost", o.vhost, {.doc = "The virtual host.", .form = Form::broker_name});
  v.field("hosts", o.hosts,
          {.doc = "Further nodes of the same broker, tried in this order after the URL's.",
           .items_max = 16,
           .form = Form::host});
  v.field("credentials", o.credentials,
          {.doc = "Where user and password are kept.",
           .sensitive = true,
           .default_text = "none: the broker's default user"});
  v.field("queue", o.queue, {.doc = "The queue's name.", .required = true, .form = Form::broker_name});
  v.field(
      "management", o.management,
      {.doc = "The management API (http://host:15672): gives the unacknowledged messages, the age of the message in "
              "front, rates, and who consumes. With /metrics/detailed of rabbitmq_prometheus "
              "(http://host:15692/metrics/detailed) instead, only the unacknowledged ones, at far less cost to a "
              "broker of thousands of queues.",
       .form = Form::http_url,
       .default_text = "none: these stay unknown"});
  v.field("tls", o.tls,
          {.doc = "TLS beyond the system's defaults; needs an amqps URL.", .default_text = "the system's"});
  v.field("declare", o.declare, {.doc = "Create the queue if it is not there.", .default_text = "never created"});
  v.field("maxBody", o.max_body,
          {.doc = "The largest message that is taken or published.", .min = 1024, .max = 128 << 20});
  v.rule(o,
         {.fields = {"tls", "url"},
          .accepted = "tls together with an amqps:// URL",
          .cel = "!has(self.tls) || self.url.startsWith('amqps://')"},
         [](const RabbitQueue& q) {
           return wrong_unless(!q.tls || q.url.starts_with("amqps://"), "tls with a URL that is not amqps");
         });
}

template <class V, Is<PubsubQueue> T>
void describe(V& v, T& o) {
  v.about("A subscription of Google Cloud Pub/Sub.");
  v.field("project", o.project, {.doc = "The project's id.", .required = true, .form = Form::project});
  v.field("subscription", o.subscription,
          {.doc = "The subscription, its short name.", .required = true, .form = Form::resource});
  v.field("topic", o.topic,
          {.doc = "The topic to publish to, its short name.",
           .form = Form::resource,
           .default_text = "none: nothing can be published"});
  v.field("credentials", o.credentials,
          {.doc = "Where the service account's key is kept: the key key.json of the Secret.",
           .sensitive = true,
           .default_text = "the machine's own account"});
  v.field("endpoint", o.endpoint,
          {.doc = "Another address of the service, such as an emulator's.",
           .form = Form::http_url,
           .default_text = "Google's"});
}

template <class V, Is<LocalQueue> T>
void describe(V& v, T& o) {
  v.about("A queue in one file on this machine: nothing to install.");
  v.field("path", o.path,
          {.doc = "The file; a relative path is relative to the pool file.", .required = true, .form = Form::path});
}

}  // namespace sluice::pool
